package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// syncState is where the commit last synced is kept (reference 2.2).
type syncState interface {
	// revision is "" when nothing was synced yet.
	revision(ctx context.Context) (string, error)
	move(ctx context.Context, revision string) error
	String() string
}

// tagState keeps it as an annotated tag, pushed to the repository.
type tagState struct {
	repository *repository
	set        *settings
}

func (s tagState) String() string { return "tag " + s.set.gitSyncTag }

func (s tagState) revision(ctx context.Context) (string, error) {
	found, err := s.repository.revision(ctx, s.set.gitSyncTag)
	if err != nil || found == "" || s.set.verifySignaturesMode == "none" {
		return found, err
	}
	if _, err := s.repository.inMirror(ctx, "verify-tag", s.set.gitSyncTag); err != nil {
		if strings.Contains(err.Error(), "not found.") {
			return "", nil
		}
		return "", fmt.Errorf("verifying tag %s: %w", s.set.gitSyncTag, err)
	}
	return found, nil
}

func (s tagState) move(ctx context.Context, revision string) error {
	return s.repository.pushTag(ctx, s.set, s.set.gitSyncTag, revision)
}

// secretState keeps it as an annotation of the deploy key's Secret.
type secretState struct {
	secrets   dynamic.ResourceInterface
	namespace string
	name      string
}

const syncHighWaterMark = "flux.weave.works/sync-hwm"

func (s secretState) String() string {
	return "kubernetes " + s.namespace + ":secret/" + s.name
}

func (s secretState) revision(ctx context.Context) (string, error) {
	secret, err := s.secrets.Get(ctx, s.name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	revision, ok := secret.GetAnnotations()[syncHighWaterMark]
	if !ok {
		return "", s.move(ctx, "")
	}
	return revision, nil
}

func (s secretState) move(ctx context.Context, revision string) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": map[string]string{syncHighWaterMark: revision}},
	})
	if err != nil {
		return err
	}
	_, err = s.secrets.Patch(ctx, s.name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}
