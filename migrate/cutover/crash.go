package cutover

// crashed reports whether a test asked for a crash here. With faults built in
// (build tag faults) it may not return; see crash_faults.go.
func (e *env) crashed(repository, step string, when When) bool {
	dieAt(repository, step, when)
	return e.crash != nil && e.crash(repository, step, when)
}

// dies is crashed, for a step that is no Repository's, as an error.
func (e *env) dies(step string, when When) error {
	if e.crashed("", step, when) {
		return errCrash
	}
	return nil
}
