package view

// TenantDetails are what people call a tenant and how they sort it, as JSON.
type TenantDetails struct {
	EntraTenantID string   `json:"entraTenantId"`
	Domain        string   `json:"domain"`
	Name          string   `json:"name"`
	Groups        []string `json:"groups"`
}

// TenantForm changes a tenant's name and groups. It is a dialog, and a page of its own.
type TenantForm struct {
	Tenant Link
	Action string
	Name   string
	// Groups are one a line; Known are those that other tenants are in.
	Groups string
	Known  []string
	// Tag names the details that the form was opened on. Notice says that they are no longer those.
	Tag    string
	Notice string
	Errors []FieldError
}

// TenantEditHref is the form that changes a tenant's name and groups.
func TenantEditHref(external string) string { return TenantHref(external) + "/edit" }
