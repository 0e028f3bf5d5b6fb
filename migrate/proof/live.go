package proof

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kindIn is a kind in a namespace.
type kindIn struct {
	kind      schema.GroupVersionKind
	namespace string
}

func kindOf(o *unstructured.Unstructured) kindIn {
	return kindIn{o.GroupVersionKind(), o.GetNamespace()}
}

// spare is how many objects that are not asked for may come with each that is:
// a list of them costs about what reading it alone does.
const spare = 20

// readMany reads the live objects of the new rendering, those of a kind in a
// namespace at once where there are several.
func (p *prover) readMany(ctx context.Context) error {
	if p.world == nil {
		return nil
	}
	wanted := map[kindIn]int{}
	for _, e := range p.evidence {
		if e.New != nil && e.New.GetNamespace() != "" {
			wanted[kindOf(e.New)]++
		}
	}
	p.read = map[kindIn]map[string]*unstructured.Unstructured{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	for k, n := range wanted {
		if n < 2 {
			continue
		}
		g.Go(func() error {
			done, err := p.turn(ctx)
			if err != nil {
				return err
			}
			defer done()
			if objects, ok := p.world.LiveIn(ctx, k.kind, k.namespace, n*spare); ok {
				mu.Lock()
				defer mu.Unlock()
				p.read[k] = objects
			}
			return nil
		})
	}
	return g.Wait()
}

// live is the first look at the live object. One that changes before it is
// tried is read again (see tryOut).
func (p *prover) live(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if objects, ok := p.read[kindOf(o)]; ok {
		return objects[o.GetName()], nil
	}
	return p.world.Live(ctx, o)
}

// turn waits until another request may be made; done must be called after it.
func (p *prover) turn(ctx context.Context) (done func(), err error) {
	select {
	case p.requests <- struct{}{}:
		return func() { <-p.requests }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
