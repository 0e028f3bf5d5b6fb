// Package discover finds the Flux v1 agents of a cluster and says of each
// what it reads, what it may do, how far it got and what it applied, with the
// place that every setting comes from.
//
// Its witnesses are the cluster (Deployments, Helm's release storage, RBAC,
// live objects by their mark) and Git (each agent's repository at the commit
// it synced last). It reads and never writes, neither to the cluster nor to a
// Git server, and runs nothing that it finds. Credentials are read from the
// cluster when they are needed and never kept: what it returns, reports or
// logs names their places only.
//
// It guesses nothing. What may not be read is a finding that names the
// missing right and what is unknown without it; what went wrong between here
// and the API server is an error, never an empty answer.
package discover
