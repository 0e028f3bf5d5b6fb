package cutover

import (
	"context"
	"fmt"

	"github.com/fluxover/fluxover/reconcile/source"
)

// GitMarks reads sync marks and heads with one question for references, by
// the means of the new agent itself.
func GitMarks(git *source.Store) MarksFunc {
	return func(ctx context.Context, agent AgentGit, credential map[string][]byte) (Marks, error) {
		remote := source.Remote{URL: agent.URL}
		if credential != nil {
			auth, err := source.AuthFromSecret(agent.URL, credential)
			if err != nil {
				return Marks{}, fmt.Errorf("read the copied Git credential: %w", err)
			}
			remote.Auth = auth
		}
		refs, err := git.Refs(ctx, remote)
		if err != nil {
			return Marks{}, err
		}
		m := Marks{Head: refs["refs/heads/"+agent.Branch]}
		if m.Head == "" {
			return Marks{}, fmt.Errorf("the server has no branch %s", agent.Branch)
		}
		if agent.State != "secret" {
			m.Synced = refs["refs/tags/"+agent.SyncTag]
		}
		return m, nil
	}
}
