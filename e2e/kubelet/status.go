package kubelet

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reportHollow writes once that a Pod without process runs and is ready.
func (k *Kubelet) reportHollow(object *corev1.Pod) error {
	if object.Status.Phase != corev1.PodPending && object.Status.Phase != "" {
		return nil
	}
	k.mu.Lock()
	done := k.reported[object.UID]
	if !done {
		k.nextHost++
	}
	host := k.nextHost
	k.mu.Unlock()
	if done {
		return nil
	}
	now := metav1.Now()
	status := corev1.PodStatus{
		Phase:     corev1.PodRunning,
		StartTime: &now,
		PodIP:     fmt.Sprintf("10.%d.%d.%d", 64+host>>16&0x3f, host>>8&0xff, host&0xff),
	}
	for _, c := range object.Spec.InitContainers {
		status.InitContainerStatuses = append(status.InitContainerStatuses, initDone(c, now))
	}
	for _, c := range object.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, hollowRunning(c, now))
	}
	finishStatus(object, &status, now)
	if err := k.writeStatus(k.life, object, status); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reported[object.UID] = true
	return nil
}

func initDone(c corev1.Container, now metav1.Time) corev1.ContainerStatus {
	return corev1.ContainerStatus{
		Name: c.Name, Image: c.Image, ImageID: c.Image, ContainerID: "lab://init-" + c.Name, Ready: true,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Reason: "Completed", StartedAt: now, FinishedAt: now, ContainerID: "lab://init-" + c.Name,
		}},
	}
}

func hollowRunning(c corev1.Container, now metav1.Time) corev1.ContainerStatus {
	started := true
	return corev1.ContainerStatus{
		Name: c.Name, Image: c.Image, ImageID: c.Image, ContainerID: "lab://hollow-" + c.Name,
		Ready: true, Started: &started,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
	}
}

// finishStatus fills what follows from the container statuses: addresses and
// conditions. A condition that the Pod has already keeps its time of transition.
func finishStatus(object *corev1.Pod, status *corev1.PodStatus, now metav1.Time) {
	status.HostIP, status.HostIPs = "127.0.0.1", []corev1.HostIP{{IP: "127.0.0.1"}}
	status.PodIPs = []corev1.PodIP{{IP: status.PodIP}}
	status.QOSClass = object.Status.QOSClass
	status.ObservedGeneration = object.Generation

	initialized, ready := true, true
	for _, c := range status.InitContainerStatuses {
		initialized = initialized && c.Ready
	}
	for _, c := range status.ContainerStatuses {
		ready = ready && c.Ready
	}
	ready = ready && initialized
	set := func(kind corev1.PodConditionType, is bool, reason string) {
		condition := corev1.PodCondition{
			Type: kind, Status: corev1.ConditionFalse, Reason: reason,
			LastTransitionTime: now, ObservedGeneration: object.Generation,
		}
		if is {
			condition.Status, condition.Reason = corev1.ConditionTrue, ""
		}
		for _, was := range object.Status.Conditions {
			if was.Type == kind && was.Status == condition.Status {
				condition.LastTransitionTime = was.LastTransitionTime
			}
		}
		status.Conditions = append(status.Conditions, condition)
	}
	set(corev1.PodScheduled, true, "")
	set(corev1.PodReadyToStartContainers, status.Phase != corev1.PodPending, "")
	set(corev1.PodInitialized, initialized, "ContainersNotInitialized")
	set(corev1.ContainersReady, ready, "ContainersNotReady")
	set(corev1.PodReady, ready, "ContainersNotReady")
}
