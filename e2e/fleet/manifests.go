package fleet

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"
)

// application is one folder of a repository. Its fields feed the templates.
type application struct {
	Team, Name                   string
	Image                        string // without tag
	Major, Minor, Patch          int
	Replicas, Port               int
	CPU, Memory                  int // requests, in millicores and MiB
	LogLevel                     string
	Extra                        string // kind of the fourth object
	Schedule                     string // when the CronJob runs
	Timeout                      int    // seconds, in the ConfigMap
	Account, Namespace, Env, Tag string // set while printing
	layout                       layout
}

// manifest is one printed object.
type manifest struct {
	kind, name string
	text       []byte
}

// extraKinds are what the fourth object of an application may be.
var extraKinds = []string{"ServiceAccount", "PodDisruptionBudget", "Ingress", "CronJob", "NetworkPolicy", "Role"}

// applications makes the applications of one team.
func applications(team string, count int, random *rand.Rand) []application {
	layouts := []layout{layoutHelm, layoutHelm, layoutKustomize, layoutKustomizeFiles}
	teamLayout := layouts[random.IntN(len(layouts))]
	order := random.Perm(len(appWords))
	apps := make([]application, count)
	for i := range apps {
		name := appWords[order[i%len(order)]]
		if round := i / len(order); round > 0 {
			name += "-" + strconv.Itoa(round+1)
		}
		apps[i] = application{
			Team: team, Name: name,
			Image: "registry.example.com/" + team + "/" + name,
			Major: 1 + random.IntN(4), Minor: random.IntN(30), Patch: random.IntN(10),
			Replicas: 1 + random.IntN(3), Port: 8000 + 10*random.IntN(100),
			CPU: 25 * (1 + random.IntN(20)), Memory: 64 * (1 + random.IntN(8)),
			LogLevel: []string{"info", "info", "warn", "debug"}[random.IntN(4)],
			Extra:    extraKinds[random.IntN(len(extraKinds))],
			Schedule: fmt.Sprintf("%d %d * * *", random.IntN(60), random.IntN(24)),
			Timeout:  5 * (1 + random.IntN(12)),
			layout:   teamLayout,
		}
		if random.IntN(5) == 0 { // somebody changed the pipeline for this one
			apps[i].layout = layouts[random.IntN(len(layouts))]
		}
	}
	return apps
}

// manifests prints the four objects of an application for one environment.
func (a application) manifests(namespace, env string) []manifest {
	a.Namespace, a.Env = namespace, env
	a.Tag = fmt.Sprintf("%d.%d.%d", a.Major, a.Minor, a.Patch)
	if env != environment {
		a.Tag = fmt.Sprintf("%d.%d.0-rc.%d", a.Major, a.Minor+1, a.Patch)
		a.Replicas = 1
	}
	if a.Extra == "ServiceAccount" {
		a.Account = a.Name
	}
	printed := make([]manifest, 0, 4)
	for _, kind := range []string{"ConfigMap", "Deployment", "Service", a.Extra} {
		name := a.Name
		if kind == "ConfigMap" {
			name += "-config"
		}
		printed = append(printed, manifest{kind, name, render(kind, a)})
	}
	return printed
}

// namespaceManifest prints a team's namespace.
func namespaceManifest(team, namespace, env string) manifest {
	return manifest{"Namespace", namespace, render("Namespace", application{Team: team, Namespace: namespace, Env: env})}
}

func render(kind string, app application) []byte {
	var text bytes.Buffer
	if err := templates.ExecuteTemplate(&text, kind, app); err != nil {
		panic("fleet: template " + kind + ": " + err.Error()) // the templates are constants and tested
	}
	return text.Bytes()
}

// templates print objects as a chart would, one per kind.
var templates = template.Must(template.New("").Parse(strings.ReplaceAll(`
{{define "meta" -}}
  namespace: {{.Namespace}}
  labels:
    app.kubernetes.io/name: {{.Name}}
    app.kubernetes.io/part-of: {{.Team}}
    app.kubernetes.io/version: "{{.Tag}}"
    app.kubernetes.io/managed-by: ci
    example.com/environment: {{.Env}}
{{- end}}

{{define "selector"}}app.kubernetes.io/name: {{.Name}}{{end}}

{{define "Namespace" -}}
apiVersion: v1
kind: Namespace
metadata:
  name: {{.Namespace}}
  labels:
    example.com/team: {{.Team}}
    example.com/environment: {{.Env}}
{{end}}

{{define "ConfigMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{.Name}}-config
  {{template "meta" .}}
data:
  LOG_LEVEL: {{.LogLevel}}
  REQUEST_TIMEOUT: {{.Timeout}}s
  FEATURES: "true"
  application.yaml: |
    # read at start
    server:
      port: {{.Port}}
    upstream:
      timeout: {{.Timeout}}s
      retries: 3
{{end}}

{{define "Deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{.Name}}
  {{template "meta" .}}
  annotations:
    example.com/owner: {{.Team}}@example.com
spec:
  replicas: {{.Replicas}}
  revisionHistoryLimit: 3
  selector:
    matchLabels:
      {{template "selector" .}}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 25%
      maxUnavailable: 0
  template:
    metadata:
      labels:
        {{template "selector" .}}
        app.kubernetes.io/part-of: {{.Team}}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "{{.Port}}"
    spec:
{{- if .Account}}
      serviceAccountName: {{.Account}}
{{- end}}
      containers:
        - name: {{.Name}}
          image: "{{.Image}}:{{.Tag}}"
          imagePullPolicy: IfNotPresent
          ports:
            - name: http
              containerPort: {{.Port}}
              protocol: TCP
          env:
            - name: POD_NAME
              valueFrom:
                fieldRef:
                  fieldPath: metadata.name
            - name: ENVIRONMENT
              value: {{.Env}}
          envFrom:
            - configMapRef:
                name: {{.Name}}-config
                optional: true
          livenessProbe:
            httpGet:
              path: /healthz
              port: http
            periodSeconds: 20
          readinessProbe:
            httpGet:
              path: /ready
              port: http
          resources:
            limits:
              memory: {{.Memory}}Mi
            requests:
              cpu: {{.CPU}}m
              memory: {{.Memory}}Mi
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            runAsNonRoot: true
{{end}}

{{define "Service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{.Name}}
  {{template "meta" .}}
spec:
  type: ClusterIP
  ports:
    - name: http
      port: 80
      targetPort: http
      protocol: TCP
  selector:
    {{template "selector" .}}
{{end}}

{{define "ServiceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{.Name}}
  {{template "meta" .}}
automountServiceAccountToken: false
{{end}}

{{define "PodDisruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{.Name}}
  {{template "meta" .}}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{template "selector" .}}
{{end}}

{{define "Ingress" -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{.Name}}
  {{template "meta" .}}
  annotations:
    nginx.ingress.kubernetes.io/proxy-read-timeout: "{{.Timeout}}"
spec:
  ingressClassName: nginx
  rules:
    - host: {{.Name}}.{{.Namespace}}.example.com
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: {{.Name}}
                port:
                  name: http
{{end}}

{{define "CronJob" -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{.Name}}
  {{template "meta" .}}
spec:
  schedule: "{{.Schedule}}"
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: 1
  jobTemplate:
    spec:
      backoffLimit: 2
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: cleanup
              image: "{{.Image}}:{{.Tag}}"
              args: ["cleanup", "--older-than=720h"]
              resources:
                requests:
                  cpu: 10m
                  memory: 32Mi
{{end}}

{{define "NetworkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{.Name}}
  {{template "meta" .}}
spec:
  podSelector:
    matchLabels:
      {{template "selector" .}}
  policyTypes: [Ingress]
  ingress:
    - from:
        - podSelector: {}
      ports:
        - protocol: TCP
          port: {{.Port}}
{{end}}

{{define "Role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{.Name}}
  {{template "meta" .}}
rules:
  - apiGroups: [""]
    resources: [configmaps]
    verbs: [get, list, watch]
{{end}}
`, "\t", "")))

// layout is how CI lays an application's objects out in files.
type layout int

const (
	// layoutHelm is a file per object named for its kind, as helm template --output-dir leaves them.
	layoutHelm layout = iota
	// layoutKustomize is one file with all objects, keys sorted, as kustomize build prints.
	layoutKustomize
	// layoutKustomizeFiles is a file per object named as kustomize build -o DIR names them.
	layoutKustomizeFiles
)

// addFiles adds objects to the team's files below a folder and returns how many
// objects there were.
func (t *Team) addFiles(folder string, how layout, name string, objects []manifest) int {
	var all bytes.Buffer
	for i, object := range objects {
		switch how {
		case layoutHelm:
			file := strings.ToLower(object.kind) + ".yaml"
			t.Files[folder+"/"+file] = fmt.Appendf(nil, "---\n# Source: %s/templates/%s\n%s", name, file, object.text)
		case layoutKustomize:
			if i > 0 {
				all.WriteString("---\n")
			}
			all.Write(sortedKeys(object.text))
		case layoutKustomizeFiles:
			t.Files[folder+"/"+kustomizeFileName(object)] = sortedKeys(object.text)
		}
	}
	if all.Len() > 0 {
		t.Files[folder+"/"+name+".yaml"] = all.Bytes()
	}
	return len(objects)
}

// sortedKeys prints an object again with its keys in alphabetical order.
func sortedKeys(text []byte) []byte {
	var object map[string]any
	err := yaml.Unmarshal(text, &object)
	if err == nil {
		text, err = yaml.Marshal(object)
	}
	if err != nil {
		panic("fleet: print manifest: " + err.Error()) // the templates are constants and tested
	}
	return text
}

// kustomizeFileName is <group>_<version>_<kind>_<name>.yaml, in lower case.
func kustomizeFileName(object manifest) string {
	var header struct {
		APIVersion string `json:"apiVersion"`
	}
	if err := yaml.Unmarshal(object.text, &header); err != nil {
		panic("fleet: print manifest: " + err.Error()) // the templates are constants and tested
	}
	version := strings.ReplaceAll(header.APIVersion, "/", "_")
	return strings.ToLower(version+"_"+object.kind+"_"+object.name) + ".yaml"
}
