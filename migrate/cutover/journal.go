package cutover

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// Keys of what the executor keeps in StateNamespace.
const (
	// annotationRun is put on every object that a run creates. Its value is
	// the id of the cluster's run record; an object without it is not ours.
	annotationRun = "fluxover.dev/run"
	// annotationPaused and annotationAbort on the run record hold who asked.
	annotationPaused = "fluxover.dev/paused"
	annotationAbort  = "fluxover.dev/abort"

	// RunRecord is the ConfigMap in the state's namespace that a run begins with;
	// pause, resume and abort are noted in it.
	RunRecord = "run"

	labelState      = "fluxover.dev/state"
	stateJournal    = "journal"
	stateSnapshot   = "snapshot"
	journalKey      = "journal.json"
	journalPlanKey  = "plan.json.gz"
	journalVersion  = 1
	maxEntries      = 400
	journalAttempts = 4
)

// State of a step, as its last journal entry says.
type State string

const (
	Started State = "started"
	Done    State = "done"
	Failed  State = "failed"
	Undoing State = "undoing"
	Undone  State = "undone"
)

// Ends of a Repository's journal.
const (
	closedSettled    = "settled"
	closedFinalized  = "finalized"
	closedRolledBack = "rolled-back"
	closedAborted    = "aborted"
)

// Entry is one line of a journal.
type Entry struct {
	Step    string    `json:"step"`
	State   State     `json:"state"`
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Message string    `json:"message,omitempty"`
	// HeldBack: it failed for no failure of a step, but for a finding or a commit
	// that nobody accepted; Message may be cut before the words that say so.
	HeldBack bool `json:"heldBack,omitempty"`
}

// agentFacts is what must be known of the old agent to stop it, fence it and
// start it again, from whatever machine.
type agentFacts struct {
	Namespace      string                `json:"namespace"`
	Release        string                `json:"release"`
	Workload       string                `json:"workload"`
	InstalledBy    string                `json:"installedBy"`
	ServiceAccount string                `json:"serviceAccount"`
	SharedAccount  bool                  `json:"sharedAccount,omitempty"`
	Selector       *metav1.LabelSelector `json:"selector,omitempty"`
	// Replicas as found by the first snapshot; rollback restores them.
	Replicas int32 `json:"replicas"`
	// Fingerprint as planned.
	Fingerprint migrate.Fingerprint `json:"fingerprint"`
	Git         migrate.AgentGit    `json:"git"`
	SyncState   string              `json:"syncState"`
}

// created is one control object that this run made.
type created struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Namespace  string    `json:"namespace,omitempty"`
	Name       string    `json:"name"`
	UID        types.UID `json:"uid"`
	// Step that made it, whose undo deletes it.
	Step string `json:"step"`
	// Keys is true for a Secret of copied keys.
	Keys bool `json:"keys,omitempty"`
}

func (c created) key() string {
	return strings.Join([]string{c.APIVersion, c.Kind, c.Namespace, c.Name}, "/")
}

// fenceFacts is what the fence step did and saw.
type fenceFacts struct {
	// ExemptPods are the UIDs of the pods that ran when the fence was put up:
	// they may finish their sync; whoever comes after them is refused.
	ExemptPods []types.UID `json:"exemptPods,omitempty"`
	// StoppedAt is when replicas were set to 0, GoneAt when the last pod was
	// gone: from then on the old agent can write no more.
	StoppedAt *time.Time `json:"stoppedAt,omitempty"`
	GoneAt    *time.Time `json:"goneAt,omitempty"`
	// GoneUnseen: no process saw the last pod go, so that GoneAt is StoppedAt,
	// the earliest that it can have been.
	GoneUnseen bool `json:"goneUnseen,omitempty"`
}

// Gap is the time during which no engine could write a Repository.
type Gap struct {
	// From: the last pod of the old agent was gone; where nobody saw it go, when
	// it was told to.
	From time.Time `json:"from"`
	// To: every Kustomization Ready at the adopted revision.
	To time.Time `json:"to"`
	// WaitingForOldPod is how long before From the old agent took to end after
	// it was told to; it is no part of the gap.
	WaitingForOldPod metav1.Duration `json:"waitingForOldPod"`
	// AtMost: nobody saw the last pod go, so that it may have been shorter.
	AtMost bool `json:"atMost,omitempty"`
}

// Duration of the gap.
func (g Gap) Duration() time.Duration { return g.To.Sub(g.From) }

// planSlice is the part of a plan that one Repository needs.
type planSlice struct {
	Repository  migrate.Repository   `json:"repository"`
	Sources     []json.RawMessage    `json:"sources"`
	Credentials []migrate.Credential `json:"credentials"`
	// Findings of this Repository, to tell whether a new plan has others.
	Findings []migrate.Finding `json:"findings"`
	// Inputs are the hashes of objects that would change or be made, by id, to
	// tell whether a new plan makes other ones of them. Journals of before it was
	// noted have none.
	Inputs map[string]migrate.ObjectInputs `json:"inputs,omitempty"`

	// adopted are the hashes of objects of which nothing would change, by id; of a
	// plan that was just made alone.
	adopted map[string]migrate.ObjectInputs
}

// journal is what is known of one Repository's cut-over: the log of its steps
// and the before-values that going back needs. It holds no secret.
type journal struct {
	Version    int    `json:"version"`
	Repository string `json:"repository"`
	Run        string `json:"run"`
	// Attempt counts cut-overs, from 1; a rollback and a new migrate add one.
	Attempt int `json:"attempt"`
	// Blocked holds why the Repository is held back; empty if it is not.
	Blocked string `json:"blocked,omitempty"`
	// Closed is empty while work is under way.
	Closed string `json:"closed,omitempty"`
	// GoingBack is true from the beginning of a rollback to its end.
	GoingBack bool `json:"goingBack,omitempty"`
	// InCapacitor is true from the moment on that the flux-capacitor may hold
	// the Repository's files, until they have left it.
	InCapacitor bool `json:"inCapacitor,omitempty"`
	// Parked lists control objects that a rollback had to leave, suspended.
	Parked []string `json:"parked,omitempty"`
	// NotGivenBack lists, by inventory id, the objects that refused to be put
	// back: they wait for the old agent's next sync. The reasons were noted.
	NotGivenBack []string `json:"notGivenBack,omitempty"`
	// Left lists Kustomizations that this run did not make and a rollback
	// suspended: they stay.
	Left []string `json:"left,omitempty"`
	// KeptKeys lists Secrets of copied keys that a rollback left, since they hold
	// what the old agent's place of the keys does not.
	KeptKeys []string `json:"keptKeys,omitempty"`
	// Commit at which the new agent adopts.
	Commit   string            `json:"commit,omitempty"`
	Agent    agentFacts        `json:"agent"`
	Created  []created         `json:"created,omitempty"`
	Fence    fenceFacts        `json:"fence"`
	Gap      *Gap              `json:"gap,omitempty"`
	HoldFrom *time.Time        `json:"holdFrom,omitempty"`
	Snapshot snapshotRef       `json:"snapshot"`
	Findings []migrate.Finding `json:"findings,omitempty"`
	Entries  []Entry           `json:"entries,omitempty"`
	// History has one line per earlier attempt.
	History []string `json:"history,omitempty"`

	// broken is why the journal could not be read, whole or in part; see list.
	broken          error
	plan            *planSlice
	planBytes       []byte
	resourceVersion string
	uid             types.UID
}

// state of a step; empty if it was never begun in this attempt.
func (j *journal) state(step string) State {
	for i := len(j.Entries) - 1; i >= 0; i-- {
		if j.Entries[i].Step == step {
			return j.Entries[i].State
		}
	}
	return ""
}

// last is the newest entry, or nil.
func (j *journal) last() *Entry {
	if len(j.Entries) == 0 {
		return nil
	}
	return &j.Entries[len(j.Entries)-1]
}

// What a journal holds of messages, so that the ConfigMap, with the plan in it,
// stays below the 1 MiB that it may have: of each in bytes, and of all as JSON,
// which writes some characters with six. Whole errors were shown when they came.
const (
	maxMessage  = 4 << 10
	maxMessages = 256 << 10
)

// stored is how many bytes a message takes in a journal.
func stored(message string) int {
	raw, _ := json.Marshal(message) // a string can always be encoded
	return len(raw)
}

// add appends an entry. Old entries of a step that was tried very often, or that
// failed with many words, are dropped; the newest of each step always stays.
func (j *journal) add(e Entry) {
	j.Entries = append(j.Entries, e)
	said := 0
	for i := range j.Entries {
		one := &j.Entries[i]
		one.HeldBack = one.heldBack()
		one.Message = shortened(one.Message, maxMessage)
		said += stored(one.Message)
	}
	for len(j.Entries) > maxEntries || said > maxMessages {
		i := slices.IndexFunc(j.Entries, func(old Entry) bool {
			newest := j.Entries[len(j.Entries)-1-slices.IndexFunc(reversed(j.Entries), func(x Entry) bool { return x.Step == old.Step })]
			return newest != old
		})
		if i < 0 {
			return
		}
		said -= stored(j.Entries[i].Message)
		j.Entries = slices.Delete(j.Entries, i, i+1)
	}
}

// shortened cuts a text to about limit bytes, after a whole line where one ends late enough,
// and says how much is left out. What is short enough stays as it is.
func shortened(text string, limit int) string {
	const rest = 40 // what is said of what is left out
	if len(text) <= limit {
		return text
	}
	kept := strings.ToValidUTF8(text[:limit-rest], "")
	if i := strings.LastIndexByte(kept, '\n'); i > limit/2 {
		return kept[:i] + fmt.Sprintf("\n… and %d more lines", strings.Count(text[i:], "\n"))
	}
	return kept + fmt.Sprintf("… and %d more bytes", len(text)-len(kept))
}

func reversed(entries []Entry) []Entry {
	r := slices.Clone(entries)
	slices.Reverse(r)
	return r
}

func (j *journal) setPlan(p *planSlice) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("journal of %s: encode the plan: %w", j.Repository, err)
	}
	if j.planBytes, err = compress(raw); err != nil {
		return fmt.Errorf("journal of %s: compress the plan: %w", j.Repository, err)
	}
	j.plan = p
	return nil
}

// store keeps journals, the run record and snapshots in StateNamespace.
type store struct{ c *cluster.Client }

func journalName(id string) string {
	// A namespace holds no dot, so the first dot tells the two parts apart.
	return "journal." + strings.Replace(id, "/", ".", 1)
}

func repositoryLabels(id, state string) map[string]string {
	namespace, release, _ := strings.Cut(id, "/")
	labels := map[string]string{migrate.LabelManaged: "true", migrate.LabelNamespace: namespace, labelState: state}
	if len(release) <= 63 {
		labels[migrate.LabelRelease] = release
	}
	return labels
}

// ensureNamespace makes StateNamespace if it is not there.
func (s store) ensureNamespace(ctx context.Context, name string) error {
	namespaces := s.c.Kube.CoreV1().Namespaces()
	_, err := namespaces.Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("read namespace %s: %w", name, err)
	}
	_, err = namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{migrate.LabelManaged: "true"},
	}}, metav1.CreateOptions{FieldManager: migrate.FieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return nil
}

// load reads the journal of a Repository; nil and no error if there is none.
func (s store) load(ctx context.Context, id string) (*journal, error) {
	cm, err := s.c.Kube.CoreV1().ConfigMaps(migrate.StateNamespace).Get(ctx, journalName(id), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read journal of %s: %w", id, err)
	}
	j, err := decodeJournal(cm)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBrokenJournal, err)
	}
	return j, nil
}

// list reads all journals, sorted by Repository. No namespace means none. One
// that cannot be read hides no other: it is in the list, broken, with what of
// it could be read, and with the control objects that its Repository is seen
// to use, so that nobody takes them for unused.
func (s store) list(ctx context.Context) ([]*journal, error) {
	list, err := s.c.Kube.CoreV1().ConfigMaps(migrate.StateNamespace).List(ctx, metav1.ListOptions{LabelSelector: labelState + "=" + stateJournal})
	if err != nil {
		return nil, fmt.Errorf("read journals: %w", err)
	}
	var out []*journal
	for i := range list.Items {
		j, err := decodeJournal(&list.Items[i])
		if err != nil {
			used, usedErr := s.usedBy(ctx, j.Repository)
			if usedErr != nil {
				return nil, errors.Join(err, usedErr)
			}
			j.Created, j.broken = append(j.Created, used...), err
		}
		out = append(out, j)
	}
	slices.SortFunc(out, func(a, b *journal) int { return strings.Compare(a.Repository, b.Repository) })
	return out, nil
}

// errBrokenJournal: a journal is there and cannot be read.
var errBrokenJournal = errors.New("what was done is not known; put the journal back from a backup, or use the version of fluxover that wrote it")

// decodeJournal reads a journal. With an error comes what could be read: at
// least the Repository's id.
func decodeJournal(cm *corev1.ConfigMap) (*journal, error) {
	j := &journal{resourceVersion: cm.ResourceVersion, uid: cm.UID}
	if err := json.Unmarshal([]byte(cm.Data[journalKey]), j); err != nil || j.Repository == "" {
		if err == nil {
			err = errors.New("it names no repository")
		}
		id := cm.Annotations[migrate.AnnotationRepository]
		if id == "" {
			id = strings.Replace(strings.TrimPrefix(cm.Name, "journal."), ".", "/", 1)
		}
		// Whether the flux-capacitor holds its files is not known, so it may.
		return &journal{Repository: id, InCapacitor: true}, fmt.Errorf("read journal ConfigMap/%s/%s: %w", cm.Namespace, cm.Name, err)
	}
	if j.Version > journalVersion {
		return j, fmt.Errorf("read journal of %s: it was written by a newer fluxover (version %d, this one knows %d): use that one", j.Repository, j.Version, journalVersion)
	}
	j.planBytes = cm.BinaryData[journalPlanKey]
	if len(j.planBytes) == 0 {
		if len(j.Created) > 0 || j.state("fence") != "" {
			return j, fmt.Errorf("read journal ConfigMap/%s/%s: its plan is gone", cm.Namespace, cm.Name)
		}
		return j, nil
	}
	raw, err := decompress(j.planBytes)
	if err != nil {
		return j, fmt.Errorf("read journal ConfigMap/%s/%s: plan: %w", cm.Namespace, cm.Name, err)
	}
	plan := &planSlice{}
	if err := json.Unmarshal(raw, plan); err != nil {
		return j, fmt.Errorf("read journal ConfigMap/%s/%s: plan: %w", cm.Namespace, cm.Name, err)
	}
	j.plan = plan
	return j, nil
}

// save writes the journal if nobody else wrote it since it was read; else the
// error is ErrJournal. A write whose answer was lost is recognised.
func (s store) save(ctx context.Context, j *journal) error {
	j.Version = journalVersion
	raw, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("write journal of %s: %w", j.Repository, err)
	}
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: migrate.StateNamespace, Name: journalName(j.Repository), UID: j.uid, ResourceVersion: j.resourceVersion,
			Labels: repositoryLabels(j.Repository, stateJournal), Annotations: map[string]string{migrate.AnnotationRepository: j.Repository},
		},
		Data: map[string]string{journalKey: string(raw)},
	}
	if len(j.planBytes) > 0 {
		cm.BinaryData = map[string][]byte{journalPlanKey: j.planBytes}
	}
	maps := s.c.Kube.CoreV1().ConfigMaps(migrate.StateNamespace)
	for attempt := 1; ; attempt++ {
		var stored *corev1.ConfigMap
		if j.resourceVersion == "" {
			stored, err = maps.Create(ctx, cm, metav1.CreateOptions{FieldManager: migrate.FieldManager})
		} else {
			stored, err = maps.Update(ctx, cm, metav1.UpdateOptions{FieldManager: migrate.FieldManager})
		}
		if err == nil {
			j.resourceVersion, j.uid = stored.ResourceVersion, stored.UID
			return nil
		}
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
			live, readErr := maps.Get(ctx, cm.Name, metav1.GetOptions{})
			if readErr == nil && live.Data[journalKey] == cm.Data[journalKey] && bytes.Equal(live.BinaryData[journalPlanKey], cm.BinaryData[journalPlanKey]) {
				j.resourceVersion, j.uid = live.ResourceVersion, live.UID
				return nil
			}
			return fmt.Errorf("write journal of %s: %w", j.Repository, ErrJournal)
		}
		if attempt == journalAttempts || !transient(err) || !pause(ctx, time.Duration(attempt)*200*time.Millisecond) {
			return fmt.Errorf("write journal of %s: %w", j.Repository, err)
		}
	}
}

// transient reports whether an error may go away by itself.
func transient(err error) bool {
	if apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err) {
		return true
	}
	// An error that is no answer of the API server is a broken connection.
	return apierrors.ReasonForError(err) == metav1.StatusReasonUnknown
}

// runRecord is what is known of the cluster's migration as a whole.
type runRecord struct {
	Version int `json:"version"`
	// Run is drawn once and never changes; see annotationRun.
	Run   string      `json:"run"`
	Agent agentRecord `json:"agent"`
	// Capacitor says which flux-capacitor is synced, if one is.
	Capacitor capacitorRecord `json:"capacitor,omitzero"`

	paused, abort string
}

// agentRecord is the journal of step 0.
type agentRecord struct {
	Engine string `json:"engine,omitempty"`
	// State is Started, Done, Undoing, Undone or empty.
	State State `json:"state,omitempty"`
	// Installed is true if this run installed it, false if it was found.
	Installed bool   `json:"installed,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Release   string `json:"release,omitempty"`
	// MadeNamespace is true if this run made Namespace.
	MadeNamespace bool `json:"madeNamespace,omitempty"`
	// MadeCRDs are the definitions that were absent before, or left by an
	// earlier installation of this run.
	MadeCRDs []string `json:"madeCRDs,omitempty"`
	// Definitions says what was done to each definition last.
	Definitions map[string]definitionRecord `json:"definitions,omitempty"`
	At          time.Time                   `json:"at"`
	By          string                      `json:"by,omitempty"`
}

// removable reports whether the ClusterAgent is this run's to uninstall, and
// is not uninstalled yet.
func (a agentRecord) removable() bool {
	return a.Installed && a.State != "" && a.State != Undone
}

// run reads the run record; nil if there is none.
func (s store) run(ctx context.Context) (*runRecord, error) {
	cm, err := s.c.Kube.CoreV1().ConfigMaps(migrate.StateNamespace).Get(ctx, RunRecord, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the run record: %w", err)
	}
	return decodeRun(cm)
}

func decodeRun(cm *corev1.ConfigMap) (*runRecord, error) {
	r := &runRecord{}
	if err := json.Unmarshal([]byte(cm.Data[journalKey]), r); err != nil {
		return nil, fmt.Errorf("read the run record ConfigMap/%s/%s: %w", cm.Namespace, cm.Name, err)
	}
	r.paused, r.abort = cm.Annotations[annotationPaused], cm.Annotations[annotationAbort]
	return r, nil
}

// changeRun reads, changes and writes the run record, again if somebody was
// faster, and makes it if there is none.
func (s store) changeRun(ctx context.Context, change func(*runRecord)) (*runRecord, error) {
	maps := s.c.Kube.CoreV1().ConfigMaps(migrate.StateNamespace)
	for attempt := 1; ; attempt++ {
		cm, err := maps.Get(ctx, RunRecord, metav1.GetOptions{})
		record := &runRecord{Version: journalVersion}
		switch {
		case apierrors.IsNotFound(err):
			id := make([]byte, 8)
			if _, err := rand.Read(id); err != nil {
				return nil, fmt.Errorf("draw an id for the run record: %w", err)
			}
			record.Run = hex.EncodeToString(id)
			cm = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
				Namespace: migrate.StateNamespace, Name: RunRecord, Labels: map[string]string{migrate.LabelManaged: "true", labelState: "run"},
			}}
		case err != nil:
			return nil, fmt.Errorf("read the run record: %w", err)
		default:
			if record, err = decodeRun(cm); err != nil {
				return nil, err
			}
		}
		change(record)
		raw, err := json.Marshal(record)
		if err != nil {
			return nil, fmt.Errorf("write the run record: %w", err)
		}
		cm.Data = map[string]string{journalKey: string(raw)}
		for key, value := range map[string]string{annotationPaused: record.paused, annotationAbort: record.abort} {
			if value == "" {
				delete(cm.Annotations, key)
			} else {
				metav1.SetMetaDataAnnotation(&cm.ObjectMeta, key, value)
			}
		}
		if cm.ResourceVersion == "" {
			_, err = maps.Create(ctx, cm, metav1.CreateOptions{FieldManager: migrate.FieldManager})
		} else {
			_, err = maps.Update(ctx, cm, metav1.UpdateOptions{FieldManager: migrate.FieldManager})
		}
		if err == nil {
			return record, nil
		}
		again := apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || transient(err)
		if !again || attempt == 10 || !pause(ctx, time.Duration(attempt)*50*time.Millisecond) {
			return nil, fmt.Errorf("write the run record: %w", err)
		}
	}
}

func compress(raw []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// maxUnpacked bounds what a compressed journal or snapshot may hold.
const maxUnpacked = 512 << 20

func decompress(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxUnpacked {
		return nil, fmt.Errorf("it holds more than %d bytes", maxUnpacked)
	}
	return raw, r.Close()
}
