// Package emit turns plans into bytes: YAML, review texts, the tree of the
// flux-capacitor. It decides nothing and adds nothing to what it is given;
// the same plan gives the same bytes. It writes to the io.Writer or returns
// the files it is asked for, and touches no file, cluster or network itself.
package emit
