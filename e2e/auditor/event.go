package auditor

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Event is one line of an audit log of audit.k8s.io/v1, as far as it is read.
type Event struct {
	Level            string          `json:"level"`
	Stage            string          `json:"stage"`
	RequestURI       string          `json:"requestURI"`
	Verb             string          `json:"verb"`
	User             User            `json:"user"`
	ImpersonatedUser *User           `json:"impersonatedUser,omitempty"`
	UserAgent        string          `json:"userAgent"`
	ObjectRef        *ObjectRef      `json:"objectRef,omitempty"`
	ResponseStatus   *ResponseStatus `json:"responseStatus,omitempty"`
	RequestObject    json.RawMessage `json:"requestObject,omitempty"`
	ResponseObject   json.RawMessage `json:"responseObject,omitempty"`
	// StageTimestamp is when the response was complete.
	StageTimestamp time.Time `json:"stageTimestamp"`
}

// User is who asked, or on whose behalf.
type User struct {
	Username string              `json:"username"`
	Extra    map[string][]string `json:"extra,omitempty"`
}

// ObjectRef names what a request was about; Name is empty for lists and for
// creations that leave the name to the server.
type ObjectRef struct {
	Resource    string `json:"resource"`
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	APIGroup    string `json:"apiGroup"`
	Subresource string `json:"subresource"`
}

// ResponseStatus is the outcome. Details.UID is there for deletions even where
// the level is Metadata.
type ResponseStatus struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Code    int    `json:"code"`
	Details *struct {
		UID string `json:"uid"`
	} `json:"details,omitempty"`
}

// podNameExtra is the key under which the API server records the Pod that a
// bound token belongs to.
const podNameExtra = "authentication.kubernetes.io/pod-name"

// ParseEvent reads one line.
func ParseEvent(line []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return Event{}, fmt.Errorf("read audit event: %w", err)
	}
	if e.Stage == "" || e.Verb == "" {
		return Event{}, fmt.Errorf("read audit event: no stage or verb: not a line of an audit log")
	}
	return e, nil
}

// actor is the user whose rights the request used.
func (e *Event) actor() *User {
	if e.ImpersonatedUser != nil {
		return e.ImpersonatedUser
	}
	return &e.User
}

// pod is the name of the Pod whose token was used, or empty.
func (u *User) pod() string {
	if names := u.Extra[podNameExtra]; len(names) == 1 {
		return names[0]
	}
	return ""
}

// manager is the field manager asked for, or else what the client calls itself.
func (e *Event) manager() string {
	if _, query, ok := strings.Cut(e.RequestURI, "?"); ok && strings.Contains(query, "fieldManager=") {
		if values, err := url.ParseQuery(query); err == nil && values.Get("fieldManager") != "" {
			return values.Get("fieldManager")
		}
	}
	if i := strings.IndexAny(e.UserAgent, "/ "); i >= 0 {
		return e.UserAgent[:i]
	}
	return e.UserAgent
}

// dryRun tells whether the request asked to persist nothing. kubectl states
// this in the URI, and for deletions in the body, which the level Metadata
// does not show.
func (e *Event) dryRun() bool {
	if strings.Contains(e.RequestURI, "dryRun=All") {
		return true
	}
	if (e.Verb != "delete" && e.Verb != "deletecollection") || len(e.RequestObject) == 0 {
		return false
	}
	var options struct {
		DryRun []string `json:"dryRun"`
	}
	return json.Unmarshal(e.RequestObject, &options) == nil && len(options.DryRun) > 0
}

func (e *Event) code() int {
	if e.ResponseStatus == nil {
		return 0
	}
	return e.ResponseStatus.Code
}

func (e *Event) succeeded() bool { return e.code() >= 200 && e.code() < 300 }

func isWriteVerb(verb string) bool {
	switch verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return true
	}
	return false
}
