package terraform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writeTree writes files to a folder of its own, and links: "-> to".
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(to, p); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// chain writes n locals, each made of the one before by a pattern.
func chain(n int, first, pattern string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "locals {\n  l0 = %s\n", first)
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "  l%d = %s\n", i, strings.ReplaceAll(pattern, "L", fmt.Sprintf("local.l%d", i-1)))
	}
	fmt.Fprintf(&b, "}\noutput \"o\" { value = local.l%d }\n", n)
	return b.String()
}

// numbered are so many different words with commas between them.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(int64(i), 36))
	}
	return b.String()
}

// lettered is a pattern n times, each with its number.
func lettered(pattern string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, pattern, i)
	}
	return b.String()
}

// hashedAlike are 1<<n different words of one checksum, by which sets find their
// elements: the checksum is linear, so words are of one if what they are put together
// of differs by what changes nothing.
func hashedAlike(n int) string {
	basis, changes := map[int]uint32{}, map[int][]byte{}
	var free [][]byte
	size := n + 32
	zero := bytes.Repeat([]byte("a"), size)
	of := func(b []byte) uint32 { return crc32.ChecksumIEEE([]byte(strconv.Quote(string(b)))) }
	for i := range size {
		change := make([]byte, size)
		change[i] = 'a' ^ 'c'
		word := bytes.Clone(zero)
		word[i] ^= change[i]
		sum := of(word) ^ of(zero)
		for bit := 31; bit >= 0 && sum != 0; bit-- {
			if sum>>bit&1 == 0 {
				continue
			}
			if basis[bit] == 0 {
				basis[bit], changes[bit] = sum, change
				break
			}
			sum ^= basis[bit]
			for k, c := range changes[bit] {
				change[k] ^= c
			}
		}
		if sum == 0 {
			free = append(free, change)
		}
	}
	words := make([]string, 1<<n)
	for i := range words {
		word := bytes.Clone(zero)
		for k := range n {
			if i>>k&1 == 1 {
				for j, c := range free[k] {
					word[j] ^= c
				}
			}
		}
		words[i] = string(word)
	}
	return strings.Join(words, ",")
}

func manyFiles(n int, text string) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprintf("f%d.tf", i)] = text
	}
	return out
}

func TestHostileInputEndsInADiagnosticWithinItsBounds(t *testing.T) {
	yamlBomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'p'; c++ {
		yamlBomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), ","))
	}
	release := "resource \"helm_release\" \"f\" {\n  name = \"f\"\n  chart = \"f\"\n  values = [%s]\n}\n"
	cases := map[string]struct {
		files map[string]string
		want  string // in a diagnostic
	}{
		"a string that doubles":                 {map[string]string{"main.tf": chain(60, `"xxxxxxxxxxxxxxxx"`, `"${L}${L}"`)}, "more work"},
		"a list that doubles":                   {map[string]string{"main.tf": chain(60, `["x"]`, `[L, L]`)}, "more work"},
		"a list that doubles and is encoded":    {map[string]string{"main.tf": chain(60, `["x"]`, `[L, L]`) + "output \"e\" { value = jsonencode(local.l60) }\n"}, "more work"},
		"an object that doubles":                {map[string]string{"main.tf": chain(60, `{ x = 1 }`, `{ a = L, b = L }`)}, "more work"},
		"a number that squares":                 {map[string]string{"main.tf": chain(60, `1e999`, `L * L`) + "output \"t\" { value = \"${local.l60}\" }\n"}, "more work"},
		"loops in loops":                        {map[string]string{"main.tf": "locals {\n r = range(1000)\n x = [for a in local.r : [for b in local.r : [for c in local.r : [for d in local.r : a]]]]\n}\noutput \"o\" { value = local.x }\n"}, "more work"},
		"loops over a product":                  {map[string]string{"main.tf": "locals {\n r = range(1000)\n x = setproduct(local.r, local.r, local.r, local.r)\n}\noutput \"o\" { value = local.x }\n"}, "more work"},
		"a wide format":                         {map[string]string{"main.tf": `output "o" { value = format("%999999999999s", "x") }`}, "more work"},
		"a deep indent":                         {map[string]string{"main.tf": `output "o" { value = indent(9999999999, "a\nb") }`}, "more work"},
		"a replacement that grows":              {map[string]string{"main.tf": chain(12, `"xxxxxxxxxxxxxxxx"`, `replace(L, "x", L)`)}, "more work"},
		"a pattern that grows":                  {map[string]string{"main.tf": chain(12, `"xxxxxxxxxxxxxxxx"`, `replace(L, "/x/", L)`)}, "more work"},
		"a joined list":                         {map[string]string{"main.tf": chain(40, `"xxxxxxxxxxxxxxxx"`, `join(L, [L, L, L])`)}, "more work"},
		"brackets without end":                  {map[string]string{"main.tf": "x = " + strings.Repeat("[", 400_000)}, "nested deeper"},
		"parentheses without end":               {map[string]string{"main.tf": "x = " + strings.Repeat("(", 400_000) + "1" + strings.Repeat(")", 400_000)}, "nested deeper"},
		"blocks without end":                    {map[string]string{"main.tf": strings.Repeat("a {\n", 200_000)}, "nested deeper"},
		"templates without end":                 {map[string]string{"main.tf": "x = " + strings.Repeat(`"${`, 200_000)}, "nested deeper"},
		"negations without end":                 {map[string]string{"main.tf": "x = " + strings.Repeat("!", 400_000) + "true"}, "nested deeper"},
		"sums without end":                      {map[string]string{"main.tf": "x = 1" + strings.Repeat("+1", 400_000)}, "nested deeper"},
		"conditions without end":                {map[string]string{"main.tf": "x = " + strings.Repeat("true ? 1 : ", 100_000) + "1"}, "nested deeper"},
		"a sum over lines in parentheses":       {map[string]string{"main.tf": "x = (1" + strings.Repeat("\n+1", 100_000) + ")"}, "nested deeper"},
		"directives without end":                {map[string]string{"main.tf": `output "o" { value = templatefile("t", {}) }`, "t": strings.Repeat("%{if true}", 100_000)}, "nested deeper"},
		"JSON without end":                      {map[string]string{"main.tf.json": strings.Repeat(`{"a":`, 100_000)}, "nested deeper"},
		"a large file":                          {map[string]string{"main.tf": strings.Repeat("# comment\n", 400_000)}, "larger than"},
		"a count":                               {map[string]string{"main.tf": "resource \"x\" \"y\" {\n count = 1e9\n}\n"}, "more instances"},
		"many counts":                           {map[string]string{"main.tf": "module \"a\" {\n source = \"./a\"\n count = 1000\n}\n", "a/main.tf": "resource \"x\" \"y\" {\n count = 1000\n}\n"}, "more instances"},
		"modules of modules":                    {map[string]string{"main.tf": "module \"a\" {\n source = \"./a\"\n count = 200\n}\n", "a/main.tf": "module \"b\" {\n source = \"../b\"\n count = 200\n}\n", "b/main.tf": "locals { x = 1 }"}, "more modules"},
		"a dynamic block":                       {map[string]string{"main.tf": "resource \"x\" \"y\" {\n dynamic \"z\" {\n for_each = setproduct(range(100), range(100))\n content {}\n }\n}\n"}, "more blocks"},
		"a long chain":                          {map[string]string{"main.tf": chain(20_000, `"x"`, `L`)}, "references lead further"},
		"aliases in values":                     {map[string]string{"main.tf": fmt.Sprintf(release, `file("v.yaml")`), "v.yaml": yamlBomb}, "values"},
		"a YAML text of a million values":       {map[string]string{"main.tf": `output "o" { value = yamldecode(file("x.yaml")) }`, "x.yaml": "[0" + strings.Repeat(",0", 1_000_000) + "]"}, "more work"},
		"aliases decoded":                       {map[string]string{"main.tf": `output "o" { value = yamldecode(file("v.yaml")) }`, "v.yaml": yamlBomb}, ""},
		"flow sequences in values":              {map[string]string{"main.tf": fmt.Sprintf(release, `file("v.yaml")`), "v.yaml": "a: " + strings.Repeat("[", 500_000)}, "nested too deep"},
		"flow sequences decoded":                {map[string]string{"main.tf": `output "o" { value = yamldecode(file("v.yaml")) }`, "v.yaml": "a: " + strings.Repeat("[", 500_000)}, "nested too deep"},
		"a long path in each turn of a loop":    {map[string]string{"main.tf": "locals { p = \"" + strings.Repeat("a/", 1_900) + "x\" }\noutput \"o\" { value = [for i in range(1000) : fileexists(local.p)] }\n"}, "more work"},
		"a long path that is tried":             {map[string]string{"main.tf": "locals { p = \"" + strings.Repeat("a/", 1_900) + "x\" }\noutput \"o\" { value = [for i in range(1000) : try(file(local.p), i)] }\n"}, "more work"},
		"many maps before an error":             {map[string]string{"main.tf": `output "o" { value = yamldecode(file("v.yaml")) }`, "v.yaml": lettered("k%d: {}\n", 250) + "x: [\n"}, "and is in error, line 25"},
		"sequences on one line":                 {map[string]string{"main.tf": `output "o" { value = yamldecode(file("v.yaml")) }`, "v.yaml": strings.Repeat("- ", 500_000)}, "nested too deep"},
		"a large index":                         {map[string]string{"main.tf": "resource \"helm_release\" \"f\" {\n name = \"f\"\n chart = \"f\"\n set {\n name = \"a[99999999]\"\n value = 1\n }\n}\n"}, "Helm's --set refuses it"},
		"many keys set in many values":          {map[string]string{"main.tf": "resource \"helm_release\" \"f\" {\n name = \"f\"\n chart = \"f\"\n dynamic \"set\" {\n for_each = range(1000)\n content {\n name = \"a[65000]\"\n value = set.value\n }\n }\n}\n"}, ""},
		"a JSON text nested deep":               {map[string]string{"main.tf": `output "o" { value = jsondecode(file("x.json")) }`, "x.json": strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20)[:1<<20-1]}, "nested too deep"},
		"a JSON text of a million values":       {map[string]string{"main.tf": `output "o" { value = jsondecode(file("x.json")) }`, "x.json": "[0" + strings.Repeat(",0", 1_000_000) + "]"}, "more work"},
		"distinct values of a long list":        {map[string]string{"main.tf": `output "o" { value = distinct(split(",", file("list"))) }`, "list": numbered(250_000)}, "more work"},
		"keys matched with many others":         {map[string]string{"main.tf": "locals { l = split(\",\", file(\"list\")) }\noutput \"o\" { value = matchkeys(local.l, local.l, local.l) }\n", "list": numbered(60_000)}, "more work"},
		"a format that repeats a text":          {map[string]string{"main.tf": `output "o" { value = format(file("f"), file("big")) }`, "f": strings.Repeat("%[1]s", 300_000), "big": strings.Repeat("x", 2_000_000)}, "more work"},
		"a format of a list that is repeated":   {map[string]string{"main.tf": `output "o" { value = formatlist(file("f"), split(",", file("list"))) }`, "f": strings.Repeat("%[1]s", 100_000), "list": numbered(100_000)}, "more work"},
		"a pattern of many states":              {map[string]string{"main.tf": `output "o" { value = regexall("((a{0,30}){0,30}b)?", file("big")) }`, "big": strings.Repeat("a", 2_000_000)}, "more work"},
		"a pattern as long as a file":           {map[string]string{"main.tf": `output "o" { value = regex(file("p"), file("big")) }`, "p": strings.Repeat("(a|b)?", 300_000), "big": strings.Repeat("a", 2_000_000)}, "more work"},
		"a pattern of paths as long as a file":  {map[string]string{"main.tf": `output "o" { value = fileset(".", file("p")) }`, "p": "{" + strings.Repeat("a,", 900_000) + "b}"}, "pattern is too long"},
		"templates that differ each time":       {map[string]string{"main.tf": "output \"o\" { value = [for i in range(1000) : templatestring(\"${i}${file(\"t\")}\", { x = 1 })] }\n", "t": strings.Repeat("${x}", 8_000)}, "more work"},
		"configuration of many small words":     {manyFiles(6, strings.Repeat("a=1\n", 50_000)), "words and signs"},
		"JSON of many small words":              {map[string]string{"a.tf.json": `{"x":[1` + strings.Repeat(",1", 999_000) + `]}`, "b.tf.json": `{"x":[1` + strings.Repeat(",1", 999_000) + `]}`}, "words and signs"},
		"a text that is a large number":         {map[string]string{"main.tf": `output "o" { value = tonumber("1e999999999") }` + "\n" + `output "p" { value = "1e999999999" + 1 }`}, ""},
		"a count that is a large number":        {map[string]string{"main.tf": "resource \"x\" \"y\" {\n count = \"1e999999999\"\n}\n"}, ""},
		"a large number in values":              {map[string]string{"main.tf": fmt.Sprintf(release, `file("v.yaml")`) + `output "o" { value = yamldecode(file("v.yaml")) }`, "v.yaml": "a: 1e999999999\nb: 0x" + strings.Repeat("f", 100_000) + "\n"}, ""},
		"a large number of a variable":          {map[string]string{"main.tf": "variable \"n\" { type = number }\noutput \"o\" { value = var.n * var.n }\n", "terraform.tfvars.json": `{"n": 1e999999999}`}, ""},
		"a module that calls itself twice":      {map[string]string{"main.tf": "module \"a\" { source = \"./\" }\nmodule \"b\" { source = \"./\" }\n"}, ""},
		"dynamic blocks of many instances":      {map[string]string{"main.tf": "resource \"x\" \"y\" {\n count = 5000\n dynamic \"z\" {\n for_each = range(1000)\n content {\n a = z.value\n }\n }\n}\n"}, "more"},
		"dynamic blocks in dynamic blocks":      {map[string]string{"main.tf": "resource \"helm_release\" \"y\" {\n name = \"n\"\n chart = \"flux\"\n dynamic \"set\" {\n for_each = range(1000)\n content {\n dynamic \"z\" {\n for_each = range(1000)\n content {\n dynamic \"w\" {\n for_each = range(1000)\n content {}\n }\n }\n }\n }\n }\n}\n"}, "more"},
		"loops in loops of a template":          {map[string]string{"main.tf": `output "o" { value = templatefile("t", { r = range(1000) }) }`, "t": "%{for a in r}%{for b in r}%{for c in r}x%{endfor}%{endfor}%{endfor}"}, "more work"},
		"a wide table":                          {map[string]string{"main.tf": `output "o" { value = csvdecode(file("t.csv")) }`, "t.csv": numbered(150_000) + "\n" + numbered(150_000) + "\n"}, ""},
		"large values of many releases":         {map[string]string{"main.tf": "resource \"helm_release\" \"f\" {\n count = 1000\n name = \"f\"\n chart = \"flux\"\n values = [file(\"v.yaml\")]\n}\n", "v.yaml": "a: [0" + strings.Repeat(",0", 200_000) + "]\n"}, "more work"},
		"a file of a gigabyte":                  {map[string]string{"main.tf": `output "o" { value = filesha256("sparse") }`}, ""},
		"sensitive values in loops":             {map[string]string{"main.tf": "locals { r = sensitive(range(1000)) }\noutput \"o\" { value = [for a in local.r : [for b in local.r : [for c in local.r : a]]] }\n"}, "more work"},
		"sets of sets":                          {map[string]string{"main.tf": "locals { s = toset(split(\",\", file(\"list\"))) }\noutput \"o\" { value = [for a in local.s : setunion(local.s, [a])] }\n", "list": numbered(12_500)}, "more work"},
		"an address range handed out":           {map[string]string{"main.tf": `output "o" { value = cidrsubnets("::/0", [for i in range(1000) : 32]...) }` + "\n" + `output "p" { value = cidrsubnet("::/0", 1e99, 1e99) }`}, ""},
		"a template that includes itself":       {map[string]string{"main.tf": `output "o" { value = templatefile("t", {}) }`, "t": `${templatefile("t", {})}`}, "a template cannot call"},
		"a template with many gaps":             {map[string]string{"main.tf": "variable \"u\" {}\n" + fmt.Sprintf(release, `"a: `+strings.Repeat("${var.u}", 70_000)+`"`)}, "more work"},
		"a large number":                        {map[string]string{"main.tf": "x = 1e999999999"}, "number is too large"},
		"a large number decoded":                {map[string]string{"main.tf": `output "o" { value = "${jsondecode("1e999999999")}" }`}, ""},
		"every attribute of many resources":     {map[string]string{"main.tf": strings.Repeat("output \"o\" { value = x.y.z }\n", 10) + "resource \"x\" \"y\" {\n count = 20000\n}\noutput \"all\" { value = x.y }\n"}, ""},
		"long names that are mentioned":         {map[string]string{"main.tf": each(50, "resource \"x\" \""+strings.Repeat("r", 2_000)+"$\" {}\n") + each(50, "output \"o$\" { value = x."+strings.Repeat("r", 2_000)+"$.z }\n") + each(1_000, "output \"n$\" { value = var.u.n$ }\n")}, "more work"},
		"private characters of gaps":            {map[string]string{"main.tf": fmt.Sprintf(release, "\"a: \\ue000\\ue100\\ue100\\ue001${x.y.z}\"") + "resource \"x\" \"y\" {}\n"}, ""},
		"optional attributes of many elements":  {map[string]string{"main.tf": "variable \"v\" {\n type = list(object({" + lettered("a%d=optional(string)\n", 2_000) + "}))\n default = [" + strings.Repeat("{},", 2_000) + "]\n}\noutput \"o\" { value = length(var.v) }\n"}, "more work"},
		"errors beside a large value":           {map[string]string{"main.tf": "locals { big = split(\",\", file(\"list\")) }\nresource \"x\" \"y\" {\n" + lettered(" a%d = local.big.none\n", 4_000) + "}\n", "list": numbered(60_000)}, "more problems"},
		"parts of a long list":                  {map[string]string{"main.tf": "variable \"u\" {}\nlocals { a = [var.u, " + strings.Repeat("1,", 100_000) + "] }\n" + fmt.Sprintf(release, `"a: `+strings.Repeat("${local.a[0]}", 500)+`"`)}, ""},
		"parts of a long list in parentheses":   {map[string]string{"main.tf": "variable \"u\" {}\nlocals { a = ([var.u, " + strings.Repeat("1,", 100_000) + "]) }\n" + fmt.Sprintf(release, `"a: `+strings.Repeat("${local.a[0]}", 500)+`"`)}, "more work"},
		"gaps of a long list":                   {map[string]string{"main.tf": "variable \"u\" {}\n" + fmt.Sprintf(release, `yamlencode(reverse([`+strings.Repeat("var.u,", 4_000)+` [`+strings.Repeat("1,", 100_000)+`][0]]))`)}, ""},
		"numbers and texts of a set":            {map[string]string{"main.tf": `output "o" { value = toset([` + strings.Repeat(`1,"a",`, 6_000) + `]) }`}, "more work"},
		"numbers and texts of a variable":       {map[string]string{"main.tf": `variable "v" {` + "\n type = list(any)\n default = [" + strings.Repeat(`1,"a",`, 15_000) + "]\n}\noutput \"o\" { value = var.v }\n"}, "more work"},
		"numbers and texts or none":             {map[string]string{"main.tf": `output "o" { value = true ? [` + strings.Repeat(`1,"a",`, 15_000) + `] : [] }`}, "more work"},
		"numbers and texts, looked up":          {map[string]string{"main.tf": "variable \"m\" {\n type = map(list(string))\n default = { a = [\"b\"] }\n}\noutput \"o\" { value = lookup(var.m, \"x\", [" + strings.Repeat(`1,"a",`, 15_000) + "]) }"}, "more work"},
		"numbers of a map that are made texts":  {map[string]string{"main.tf": "output \"o\" { value = true ? zipmap(split(\",\", file(\"list\")), chunklist(concat(" + strings.TrimSuffix(strings.Repeat("range(1000),", 20), ",") + "), 1)) : tomap({ a = tolist([\"x\"]) }) }", "list": strings.TrimSuffix(lettered("k%d,", 20_000), ",")}, "more work"},
		"numbers and texts made distinct":       {map[string]string{"main.tf": `output "o" { value = distinct([` + strings.Repeat(`1,"a",`, 15_000) + `]) }`}, "more work"},
		"numbers and texts in chunks":           {map[string]string{"main.tf": `output "o" { value = chunklist([` + strings.Repeat(`1,"a",`, 15_000) + `], 2) }`}, "more work"},
		"numbers and texts of a product":        {map[string]string{"main.tf": `output "o" { value = setproduct([` + strings.Repeat(`1,"a",`, 15_000) + `], [1]) }`}, "more work"},
		"numbers and texts of a map":            {map[string]string{"main.tf": "output \"o\" { value = tomap({\n" + lettered("a%[1]d = 1\nb%[1]d = \"a\"\n", 15_000) + "}) }"}, "more work"},
		"the first of numbers and texts":        {map[string]string{"main.tf": `output "o" { value = coalesce(` + strings.Repeat(`1,"a",`, 15_000) + `1) }`}, "more work"},
		"a long list that is joined":            {map[string]string{"main.tf": `output "o" { value = join(",", [` + strings.Repeat(`"a",`, 100_000) + `]) }`}, "more work"},
		"distinct lists that begin alike":       {map[string]string{"main.tf": "locals { common = range(100) }\noutput \"o\" { value = distinct([for i in range(300) : concat(local.common, [i])]) }\n"}, "more work"},
		"keys that begin alike":                 {map[string]string{"main.tf": "locals {\n common = range(100)\n l = [for i in range(200) : concat(local.common, [i])]\n}\noutput \"o\" { value = matchkeys(range(200), local.l, local.l) }\n"}, "more work"},
		"a long list in many lists":             {map[string]string{"main.tf": `output "o" { value = flatten(` + strings.Repeat("[", 180) + `split(",", file("list"))` + strings.Repeat("]", 180) + `) }`, "list": numbered(15_000)}, "more work"},
		"a long list in each turn of a loop":    {map[string]string{"main.tf": `output "o" { value = [for i in range(1000) : [for j in range(100) : length([` + strings.Repeat("1,", 100_000) + `])]] }`}, "more work"},
		"a long list in each of many instances": {map[string]string{"main.tf": "resource \"x\" \"y\" {\n count = 5000\n a = [" + strings.Repeat("1,", 100_000) + "][0]\n}\n"}, "more work"},
		"texts of a set that are hashed alike":  {map[string]string{"main.tf": `output "o" { value = toset(split(",", file("list"))) }`, "list": hashedAlike(13)}, "more work"},
		"templates of many instances":           {map[string]string{"main.tf": "variable \"u\" {}\ndata \"template_file\" \"t\" {\n count = 4000\n template = \"$${x}\"\n vars = { x = var.u }\n}\n" + fmt.Sprintf(release, `"a: `+strings.Repeat("${data.template_file.t[0].rendered}", 1_000)+`"`)}, "more work"},
		"numbers and texts of a list":           {map[string]string{"main.tf": `output "o" { value = tolist([` + strings.Repeat(`1,"a",`, 15_000) + `]) }`}, "more work"},
		"flow sequences behind comments":        {map[string]string{"main.tf": `output "o" { value = yamldecode(file("x.yaml")) }`, "x.yaml": strings.Repeat("[ #]\n", 25_000)}, "nested too deep"},
		"provisioners of many instances":        {map[string]string{"main.tf": "resource \"null_resource\" \"n\" {\n count = 5000\n" + strings.Repeat("provisioner \"local-exec\" {\n command = \"helm x\"\n}\n", 8) + "}\n"}, ""},
		"JSON of many brackets":                 {map[string]string{"a.tf.json": `{"x":[` + strings.Repeat(strings.Repeat("[", 150)+strings.Repeat("]", 150)+",", 3_900) + `1]}`, "b.tf.json": `{"x":[` + strings.Repeat(strings.Repeat("[", 150)+strings.Repeat("]", 150)+",", 3_900) + `1]}`}, "words and signs"},
		"causes of each of many variables":      {map[string]string{"terragrunt.hcl": "terraform {\n" + each(600, "extra_arguments \"a$\" {\n commands = [\"plan\"]\n required_var_files = [\"y$.tfvars\"]\n}\n") + "}\n", "main.tf": each(600, "variable \"v$\" {}\noutput \"o$\" { value = var.v$ }\n")}, ""},
		"private characters of Helm's own keys": {map[string]string{"main.tf": fmt.Sprintf(release, "\"\\ue002: x\"")}, "private-use"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := writeTree(t, c.files)
			if name == "a file of a gigabyte" {
				if err := os.WriteFile(filepath.Join(dir, "sparse"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(filepath.Join(dir, "sparse"), 1<<30); err != nil {
					t.Fatal(err)
				}
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			// Smaller than the defaults, to be quick; the bounds are the same.
			r, err := Load(t.Context(), Options{Dir: dir, Limits: Limits{Work: 250_000, Instances: 5_000, Tokens: 1_000_000}})
			if err != nil {
				t.Fatal(err)
			}
			releases := HelmReleases(t.Context(), r)
			Workloads(t.Context(), r)
			Scripts(t.Context(), r)
			for _, h := range releases {
				if _, err := h.MarshalJSON(); err != nil {
					t.Error(err)
				}
			}
			runtime.ReadMemStats(&after)
			if d := time.Since(start); d > time.Minute {
				t.Errorf("it took %s", d)
			}
			if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 2<<10 {
				t.Errorf("it allocated %d MiB", grown)
			}
			var all []string
			for _, d := range r.Diagnostics {
				all = append(all, d.String())
			}
			text := strings.Join(all, "\n")
			if !strings.Contains(text, c.want) {
				t.Errorf("no diagnostic says %q:\n%.2000s", c.want, text)
			}
			t.Logf("%s, %d MiB allocated, %d diagnostics", time.Since(start).Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20, len(all))
		})
	}
}

// What HCL does not bring to one type costs nothing: a condition with null, results of one
// type, and the default of a lookup in an object are what ordinary configurations hold.
func TestWhatIsNotBroughtToOneTypeIsNotCharged(t *testing.T) {
	kinds := []string{`"a"`, "1", "true", `["a", "b"]`, `{ a = 1, b = "x" }`, "null"}
	agents := "{\n" // of 200, that have some options each, of any type
	for i := range 200 {
		agents += fmt.Sprintf("r%d = { url = \"git@h:o/r%d\"", i, i)
		for j := range 10 {
			agents += fmt.Sprintf(", k%d = %s", (i*7+j*11)%61, kinds[(i+j*j)%len(kinds)])
		}
		agents += " }\n"
	}
	agents += "}"
	const head = "variable \"on\" { default = true }\n"
	for name, text := range map[string]string{
		"a condition with null":              head + "output \"o\" { value = var.on ? " + agents + " : null }",
		"one with null in a loop":            head + "locals { base = " + agents + "}\noutput \"o\" { value = { for k in keys(local.base) : k => (var.on ? local.base : null)[k] } }",
		"results of one type":                head + "locals { base = " + agents + "}\noutput \"o\" { value = [for i in range(20) : var.on ? local.base : local.base] }",
		"an object and a list":               head + "locals { base = " + agents + "}\noutput \"o\" { value = [for i in range(20) : try(var.on ? local.base : [], i)] }",
		"what is not known":                  "variable \"u\" {}\n" + head + "locals { base = " + agents + "}\noutput \"o\" { value = [for i in range(20) : var.on ? { a = local.base, b = var.u } : { c = var.u }] }",
		"the default of a lookup":            head + "locals { base = " + agents + "}\noutput \"o\" { value = [for i in range(50) : lookup({ a = 1 }, \"k${i}\", local.base)] }",
		"the default of a lookup that finds": head + "locals { base = " + agents + "}\noutput \"o\" { value = [for i in range(50) : lookup({ a = 1 }, \"a\", local.base)] }",
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Load(t.Context(), Options{Dir: writeTree(t, map[string]string{"main.tf": text}), Limits: Limits{Work: 1_000_000}})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range r.Diagnostics {
				if strings.Contains(d.String(), errWork.Error()) {
					t.Error(d)
				}
			}
		})
	}
}

// each is a text as often as is told, with the number of the repetition for each $.
func each(n int, text string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(text, "$", strconv.Itoa(i)))
	}
	return b.String()
}

func TestANamedPipeDoesNotHoldUpReading(t *testing.T) {
	dir := writeTree(t, map[string]string{"main.tf": `output "o" { value = file("pipe") }`})
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.tf"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Load(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if c := Causes(r.Outputs[0].Value); len(c) != 1 || c[0].Kind != CauseFile {
		t.Errorf("the cause is %v", c)
	}
}

func TestReadingStopsWhenItsContextEnds(t *testing.T) {
	dir := writeTree(t, map[string]string{"main.tf": chain(60, `["x"]`, `[L, L]`)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Load(ctx, Options{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestAFolderWithoutConfigurationIsAnError(t *testing.T) {
	if _, err := Load(t.Context(), Options{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "holds no .tf") {
		t.Errorf("the error is %v", err)
	}
	above := writeTree(t, map[string]string{
		"prod/flux/terragrunt.hcl": "", "prod/vpc/main.tf": "", "prod/vpc/x.tf": "", "prod/json/main.tf.json": "{}", "prod/.terragrunt-cache/x/main.tf": "", "prod/docs/README.md": "", "prod/.x.tf": "",
	})
	if _, err := Load(t.Context(), Options{Dir: above}); err == nil || !strings.HasSuffix(err.Error(), "so nothing is read; folders below it do, each to be named by itself: prod/flux, prod/json, prod/vpc") {
		t.Errorf("the error is %v", err)
	}
	for says, files := range map[string]map[string]string{
		`a stack of Terragrunt, which makes a folder of each unit that terragrunt.stack.hcl names: run "terragrunt stack generate"`: {"terragrunt.stack.hcl": "unit \"flux\" {\n  source = \"../units/flux\"\n  path   = \"flux\"\n}\n"},
		"folders below it do, each to be named by itself: .terragrunt-stack/flux":                                                   {"terragrunt.stack.hcl": "", ".terragrunt-stack/flux/terragrunt.hcl": "", ".terragrunt-stack/flux/.terragrunt-cache/x/main.tf": ""},
		"configures Terragrunt before 0.19 (terragrunt = {...}), which is not read: name the folder of its module, git::https://***@h/m.git//flux?ref=v1 from there, with a copy of that file without this part as --var-file": {
			"terraform.tfvars": "git_path = \"x\"\nterragrunt = {\n  terraform {\n    source = \"git::https://MARKED-SECRET@h/m.git//flux?ref=v1\"\n  }\n}\n"},
		"name the folder of the module that it names with a copy": {"terraform.tfvars": "source = \"x\"\nterragrunt = {\n  include { path = \"${find_in_parent_folders()}\" }\n}\n"},
	} {
		_, err := Load(t.Context(), Options{Dir: writeTree(t, files)})
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "MARKED") {
			t.Errorf("want %q, and the error is %v", says, err)
		}
	}
	if _, err := Load(t.Context(), Options{Dir: writeTree(t, map[string]string{"terraform.tfvars": "terragrunt_version = \"1\"\nx = {}\n"})}); err == nil || strings.Contains(err.Error(), "Terragrunt") {
		t.Errorf("the error is %v", err)
	}
	if _, err := Load(t.Context(), Options{Dir: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error is %v", err)
	}
}

// A link out of the tree is not followed, whether the file, a folder above it
// or a module is one; a link inside the tree is.
func TestLinksAreFollowedInsideTheTreeOnly(t *testing.T) {
	outside := writeTree(t, map[string]string{"secret.yaml": "outside: true\n", "main.tf": `output "x" { value = "outside" }`})
	dir := writeTree(t, map[string]string{
		"inside.yaml":  "inside: true\n",
		"sub/one.yaml": "one: 1\n",
		"main.tf": `
output "file" { value = file("link.yaml") }
output "folder" { value = file("folder/secret.yaml") }
output "template" { value = templatefile("link.yaml", {}) }
output "exists" { value = fileexists("link.yaml") }
output "set" { value = fileset(".", "**/*.yaml") }
output "inner_set" { value = fileset("sub", "*.yaml") }
output "inner" { value = file("inner.yaml") }
module "m" { source = "./folder" }
output "module" { value = module.m.x }
`})
	for link, target := range map[string]string{"link.yaml": filepath.Join(outside, "secret.yaml"), "folder": outside, "inner.yaml": "inside.yaml", "sub/two.yaml": "../inside.yaml", "linked.tf": filepath.Join(outside, "main.tf")} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Load(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range r.Outputs {
		switch o.Name {
		case "inner":
			if !o.Value.IsWhollyKnown() || o.Value.AsString() != "inside: true\n" {
				t.Errorf("the link inside the tree gives %#v", o.Value)
			}
		case "inner_set":
			if !o.Value.IsWhollyKnown() || o.Value.LengthInt() != 2 {
				t.Errorf("fileset gives %#v, want the file and the link to one", o.Value)
			}
		case "x":
			t.Error("a linked .tf file from outside was read")
		default:
			if o.Value.IsWhollyKnown() {
				t.Errorf("output %s is known: %#v", o.Name, o.Value)
			}
		}
	}
}

// A state is hostile too: each of these ends in an error or a diagnostic,
// within its bounds.
func TestHostileStatesEndInAnErrorWithinTheirBounds(t *testing.T) {
	instance := func(values string) string {
		return fmt.Sprintf(`{"mode":"managed","type":"helm_release","name":"f","instances":[{"attributes":{"name":"f","metadata":[{"values":%q}]}}]}`, values)
	}
	state := func(resources string) string { return `{"version":4,"resources":[` + resources + `]}` }
	modules := strings.Repeat(`{"child_modules":[`, 1_000) + strings.Repeat("]}", 1_000)
	for name, c := range map[string]struct{ text, want string }{
		"brackets without end":  {`{"version":4,"resources":` + strings.Repeat("[", 5_000_000), "not JSON"},
		"many instances":        {state(`{"mode":"managed","type":"x","name":"y","instances":[{}` + strings.Repeat(",{}", 100_000) + `]}`), "more than 5000 instances"},
		"empty instances":       {state(`{"mode":"managed","type":"x","name":"y","instances":[{}` + strings.Repeat(",{}", 20_000_000) + `]}`), "more than 250000 objects"},
		"many small values":     {state(instance("a: [0" + strings.Repeat(",0", 20_000_000) + "]")), "values in the state"},
		"an object of a pod":    {state(`{"mode":"managed","type":"kubernetes_deployment","name":"d","instances":[{"attributes":{"spec":[{"template":[{"spec":[{"container":[0` + strings.Repeat(",0", 20_000_000) + `]}]}]}]}}]}`), "is not read"},
		"a manifest of aliases": {state(`{"mode":"managed","type":"kubectl_manifest","name":"d","instances":[{"attributes":{"kind":"Deployment","yaml_body":"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\nspec: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"}}]}`), "is not read"},
		"keys of many steps":    {`{"version":3,"modules":[{"path":["root"],"resources":{"kubernetes_deployment.f":{"type":"kubernetes_deployment","primary":{"id":"a","attributes":{` + lettered(`"spec.0.k%d.`+strings.Repeat("a.", 190)+`":"x",`, 5_000) + `"metadata.0.name":"flux"}}}}}]}`, "is not read"},
		"modules in modules":    {`{"format_version":"1.0","values":{"root_module":` + modules + `}}`, "nest deeper"},
		"values nested deep":    {state(instance("a: " + strings.Repeat("[", 500_000))), "values in the state"},
		"values with aliases":   {state(instance("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n")), "values in the state"},
		"larger than is read":   {`{"version":4,"x":"` + strings.Repeat("x", 70<<20) + `"}`, "larger than"},
		"a key of a set nested": {state(`{"mode":"managed","type":"helm_release","name":"f","instances":[{"attributes":{"name":"f","set_sensitive":[{"name":"` + strings.Repeat("a.", 500_000) + `"}],"metadata":[{"values":"{}"}]}}]}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			s, err := ReadState(t.Context(), strings.NewReader(c.text), Limits{Work: 1_000_000, Instances: 5_000})
			said := fmt.Sprint(err)
			if s != nil {
				for _, d := range s.Diagnostics {
					said += d.String()
				}
			}
			runtime.ReadMemStats(&after)
			if !strings.Contains(said, c.want) {
				t.Errorf("nothing says %q: %.500s", c.want, said)
			}
			if d := time.Since(start); d > time.Minute {
				t.Errorf("it took %s", d)
			}
			if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 1<<10 {
				t.Errorf("it allocated %d MiB", grown)
			}
		})
	}
}

// The state that a data source reads is bounded as other files are, and so are
// its outputs.
func TestHostileStatesOfOthersAreUnknown(t *testing.T) {
	outside := writeTree(t, map[string]string{"terraform.tfstate": `{"version":4,"outputs":{"x":{"type":"string","value":"hunter2"}}}`})
	config := func(path string) string {
		return fmt.Sprintf("data \"terraform_remote_state\" \"s\" {\n backend = \"local\"\n config = { path = %q }\n}\noutput \"x\" { value = data.terraform_remote_state.s.outputs.x }\n", path)
	}
	for name, c := range map[string]struct{ path, text string }{
		"outside of the tree": {filepath.Join(outside, "terraform.tfstate"), ""},
		"above the tree":      {"../../../../etc/hostname", ""},
		"a link out of it":    {"link", ""},
		"a named pipe":        {"pipe", ""},
		"not a state":         {"s.json", `["hunter2"]`},
		"of another type":     {"s.json", `{"version":4,"outputs":{"x":{"type":"number","value":"hunter2"}}}`},
		"no type at all":      {"s.json", `{"version":4,"outputs":{"x":{"type":["x"],"value":{"hunter2":` + strings.Repeat("[", 20_000) + `}}}}`},
		"too much":            {"s.json", `{"version":4,"outputs":{"x":{"type":"dynamic","value":[1` + strings.Repeat(",1", 2_000_000) + `]}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeTree(t, map[string]string{"main.tf": config(c.path)})
			if err := os.Symlink(filepath.Join(outside, "terraform.tfstate"), filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.text != "" {
				if err := os.WriteFile(filepath.Join(dir, "s.json"), []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r, err := Load(t.Context(), Options{Dir: dir, Limits: Limits{Work: 1_000_000}})
			if err != nil {
				t.Fatal(err)
			}
			if v := r.Outputs[0].Value; v.IsWhollyKnown() || len(Causes(v)) == 0 {
				t.Errorf("the output is known, or unknown without a cause: %#v", v)
			}
			if all := fmt.Sprint(r.Diagnostics, Causes(r.Outputs[0].Value)); strings.Contains(all, marker) {
				t.Errorf("something of the file is shown: %s", all)
			}
		})
	}
}

// The leaves of a tree are listed in the time that their paths take.
func BenchmarkLeaves(b *testing.B) {
	for _, depth := range []int{25, 50, 100, 200} {
		tree := &Node{Kind: Scalar, Scalar: "x"}
		for range depth {
			tree = &Node{Kind: Map, Map: map[string]*Node{"a": tree, "b": {Kind: Scalar, Scalar: "y"}}}
		}
		b.Run(fmt.Sprint(depth), func(b *testing.B) {
			for b.Loop() {
				tree.Leaves()
			}
		})
	}
}

// A value of very many causes names the first of each kind and some of the others, however
// it is put together.
func TestAValueNamesABoundedNumberOfCauses(t *testing.T) {
	text := lettered("variable \"v%d\" {}\n", 300) + "locals { x = \"" + lettered("${var.v%d}", 300) + "${terraform.workspace}\" }\n" +
		"resource \"helm_release\" \"f\" {\n name = \"f\"\n chart = \"f\"\n set {\n name = \"a\"\n value = local.x\n }\n set {\n name = \"b\"\n value = \"" + lettered("${var.v%d}", 300) + "${terraform.workspace}\"\n }\n}\n"
	r, err := Load(t.Context(), Options{Dir: writeTree(t, map[string]string{"main.tf": text})})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range HelmReleases(t.Context(), r)[0].Values.Leaves() {
		kinds := map[CauseKind]int{}
		for _, c := range l.Node.Causes {
			kinds[c.Kind]++
		}
		if kinds[CauseVariable] != maxCauses-1 || kinds[CauseWorkspace] != 1 || kinds[CauseLimit] != 1 {
			t.Errorf("%s has %v", l.Path, kinds)
		}
	}
}
