package projections_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"testing"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// A projection is not even shown the events that it says do not concern it. So it has to name every event that its own file looks at.
func TestConcernsNamesWhatIsLookedAt(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	packages, err := parser.ParseDir(files, ".", nil, parser.SkipObjectResolution) //nolint:staticcheck // one directory, no build tags
	must(t, err)
	checked := 0
	for name, file := range packages["projections"].Files {
		looks := eventsLookedAt(file)
		for _, p := range projections.All() {
			chooser, ok := p.(interface{ Concerns(event string) bool })
			if !ok || !declaresMethod(file, reflect.TypeOf(p).Name(), "Concerns") {
				continue
			}
			checked++
			for _, event := range looks {
				if !chooser.Concerns(domain.PresentName(event)) {
					t.Errorf("%s looks at %s, and says that it does not concern %s", name, event, p.Name())
				}
			}
		}
	}
	if checked < 8 {
		t.Errorf("only %d projections were checked", checked)
	}
}

// eventsLookedAt finds the events among the types of a file's type switches and assertions.
func eventsLookedAt(file *ast.File) []string {
	var found []string
	take := func(x ast.Expr) {
		if s, ok := x.(*ast.SelectorExpr); ok && slices.Contains(domain.EventNames(), s.Sel.Name) {
			found = append(found, s.Sel.Name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.TypeAssertExpr:
			take(n.Type)
		case *ast.CaseClause:
			for _, x := range n.List {
				take(x)
			}
		}
		return true
	})
	return found
}

func declaresMethod(file *ast.File, receiver, method string) bool {
	return slices.ContainsFunc(file.Decls, func(d ast.Decl) bool {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != method || f.Recv == nil {
			return false
		}
		id, ok := f.Recv.List[0].Type.(*ast.Ident)
		return ok && id.Name == receiver
	})
}
