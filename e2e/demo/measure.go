package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// cost is what the agents of one namespace ask for and use.
type cost struct {
	agents    int
	requested string
	// cores is CPU time over wall time; memory is resident bytes.
	cores  float64
	memory int64
}

func (c cost) String() string {
	return fmt.Sprintf("%d agents ask for %s CPU, use %.3f CPU and %d MiB", c.agents, c.requested, c.cores, c.memory>>20)
}

// measure watches the namespace's agents for the window.
func (d *demo) measure(ctx context.Context, namespace string) (cost, error) {
	client, err := kubernetes.NewForConfig(d.lab.ControlPlane.Config())
	if err != nil {
		return cost{}, err
	}
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return cost{}, fmt.Errorf("list the agents' pods: %w", err)
	}
	c := cost{agents: len(pods.Items)}
	var sum resource.Quantity
	for _, p := range pods.Items {
		for _, container := range p.Spec.Containers {
			sum.Add(container.Resources.Requests[corev1.ResourceCPU])
		}
	}
	c.requested = sum.String()
	begun := time.Now()
	first, _, err := d.used(namespace)
	if err != nil {
		return cost{}, err
	}
	select {
	case <-time.After(d.window):
	case <-ctx.Done():
		return cost{}, ctx.Err()
	}
	last, memory, err := d.used(namespace)
	if err != nil {
		return cost{}, err
	}
	c.cores, c.memory = (last-first).Seconds()/time.Since(begun).Seconds(), memory
	return c, nil
}

func (d *demo) used(namespace string) (cpu time.Duration, memory int64, err error) {
	usage, err := d.lab.Kubelet.Usage()
	for _, u := range usage {
		if u.Namespace == namespace {
			cpu += u.CPU
			memory += u.RSS
		}
	}
	return cpu, memory, err
}
