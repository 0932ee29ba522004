package page_test

import (
	"github.com/a-h/templ"

	"tenantpilot/cmd/tenantpilot/internal/web/page"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

// signInSamples are the pages around signing in.
func signInSamples() map[string]templ.Component {
	signedOut := view.Shell{Title: "Sign in", Path: "/sign-in", Now: now}
	provider := &view.Link{Label: "Sign in with Northlight Entra ID", Href: "/sign-in/oidc"}
	ways := view.SignIn{State: view.SignInAsk, Now: now, Provider: provider, BreakGlass: &view.BreakGlass{Action: "/sign-in/break-glass", Next: "/"}}
	kept, refused, wrong := ways, ways, ways
	kept.KeptUntil, kept.SecretsDropped = now.Add(900e9), true
	refused.State, refused.Another = view.SignInRefused, &view.Link{Label: "Use another account", Href: "/sign-in/oidc?another"}
	refused.Error = view.SignInRefusal("nobody_invited", "Northlight Entra ID", "kim.larsen@personal.example")
	wrong.BreakGlass = &view.BreakGlass{Action: "/sign-in/break-glass", Next: "/", Open: true, Error: "The address or the password is wrong, or there is no break-glass account for it."}
	return map[string]templ.Component{
		"sign-in-ways":        page.SignInPage(signedOut, ways),
		"sign-in-kept":        page.SignInPage(signedOut, kept),
		"sign-in-refused":     page.SignInPage(signedOut, refused),
		"sign-in-break-glass": page.SignInPage(signedOut, wrong),
		"kept-form": page.KeptFormPage(shell("Send what you filled in", "/kept-form"), view.KeptForm{
			Action: "/x", Until: now.Add(600e9), From: "/admin/provider-connections/12/credential", Discard: "/kept-form/discard",
			Fields: []view.KeptField{
				view.PresentKeptField("displayName", "Contoso production"),
				view.PresentKeptField("reason", "The change freeze begins on Friday.\nNothing may start until the customer has confirmed the migration in writing."),
				view.PresentKeptField("next", "/admin/tenants"),
			},
			Secrets: []view.KeptField{view.PresentKeptField("secret", ""), view.PresentKeptField("password", "")},
		}),
	}
}
