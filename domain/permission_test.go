package domain

import "testing"

func TestEveryDeclaredPermissionIsWorded(t *testing.T) {
	t.Parallel()
	for _, o := range catalogue {
		for _, p := range o.Permissions {
			if permissionWords[p] == "" {
				t.Errorf("%s, which %s needs, has no words", p, o.Type)
			}
		}
	}
	last := ""
	for _, n := range PermissionNeeds() {
		if n.Permission <= last || len(n.Operations) == 0 {
			t.Errorf("needs are not sorted, or nobody's: %+v", n)
		}
		last = n.Permission
	}
	if PermissionWords("Chat.Read.All") != "The application permission Chat.Read.All." {
		t.Error("a permission without words is not named")
	}
}
