package emit

import (
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

func TestALongFindingFitsTheScreen(t *testing.T) {
	var out strings.Builder
	err := Findings(&out, []migrate.Finding{{
		Severity: migrate.Warning, Code: "OBJECT_LEFT_ALONE", Subject: "flux/flux-payments payments_api-gateway_apps_Deployment",
		Where: "production/api-gateway/deployment.yaml:12", Message: "it is left alone",
	}, {
		Severity: migrate.Info, Code: "STALE_OBJECT", Subject: "flux/flux-shop", Where: "shop.yaml:1", Message: "it stays",
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `warning OBJECT_LEFT_ALONE
    flux/flux-payments Deployment/payments/api-gateway at
    production/api-gateway/deployment.yaml:12
    it is left alone
info STALE_OBJECT flux/flux-shop at shop.yaml:1
    it stays
`
	if out.String() != want {
		t.Errorf("got:\n%swant:\n%s", out.String(), want)
	}
}
