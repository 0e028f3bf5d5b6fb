package discover

import (
	"slices"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	batchv1beta1 "k8s.io/api/batch/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8stesting "k8s.io/client-go/testing"
)

// An API server before Kubernetes 1.21 has CronJobs in another version alone.
func TestCronJobsOfOldClustersAreRead(t *testing.T) {
	f := open(t, "testdata/cluster/fluxd-of-any-workload")
	const name = "CronJob/odd/of-old"
	list := &batchv1beta1.CronJobList{Items: []batchv1beta1.CronJob{{ObjectMeta: metav1.ObjectMeta{Name: "of-old", Namespace: "odd"}}}}
	list.Items[0].Spec.JobTemplate.Spec.Template.Spec.Containers = []corev1.Container{{Name: "flux", Image: "fluxcd/flux:1.25.4", Args: []string{"--git-url=https://h/x"}}}
	f.kube.PrependReactor("list", "cronjobs", func(a k8stesting.Action) (bool, runtime.Object, error) {
		if a.GetResource().Version == "v1" {
			return true, nil, apierrors.NewNotFound(a.GetResource().GroupResource(), "")
		}
		return true, list, nil
	})
	inv, err := f.witness.inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == FluxdElsewhere.Name && f.Where == name }) {
		t.Errorf("%s is not named: %v", name, inv.Findings)
	}
}
