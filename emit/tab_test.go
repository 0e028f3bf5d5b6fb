package emit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// tab is a page in a browser, to which what people do is done: keys, another
// width, dark, paper. It speaks the protocol of Chromium's developer tools, over
// a pipe.
type tab struct {
	t       testing.TB
	in      *os.File
	out     *bufio.Reader
	deadend *os.File // of out
	session string
	last    int
}

// longestAnswer of the browser, on a machine that has much else to do.
const longestAnswer = 2 * time.Minute

// openTab opens a page, at a place in it ("#name") or "", and ends the browser
// with the test.
func openTab(t testing.TB, page, place string) *tab {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	for attempt := 1; ; attempt++ {
		b, err := startTab(t, "file://"+file+place)
		if err == nil {
			return b
		}
		if attempt == 3 {
			t.Fatalf("chromium: %v", err)
		}
		t.Logf("chromium, tried again: %v", err) // it may crash where memory is short
	}
}

func startTab(t testing.TB, url string) (*tab, error) {
	t.Helper()
	cmd := exec.Command(chromium(t), append(headless(t), "--remote-debugging-pipe", "about:blank")...)
	theirs, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{theirs, theirOut} // which it has as 3 and 4
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	theirs.Close()
	theirOut.Close()
	b := &tab{t: t, in: in, out: bufio.NewReader(out), deadend: out}
	t.Cleanup(func() {
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		_ = b.try("Browser.close", nil, nil) // it may have ended
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		in.Close()
		out.Close()
	})
	var target struct{ TargetID string }
	if err := b.try("Target.createTarget", map[string]any{"url": "about:blank"}, &target); err != nil {
		return nil, err
	}
	var attached struct{ SessionID string }
	if err := b.try("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached); err != nil {
		return nil, err
	}
	b.session = attached.SessionID
	if err := b.open(url); err != nil {
		return nil, err
	}
	return b, b.try("Emulation.setFocusEmulationEnabled", map[string]any{"enabled": true}, nil)
}

// open leaves the page for another one and waits until that is there.
func (b *tab) open(url string) error {
	if err := b.tryAsk(`window.left = true`, nil); err != nil {
		return err
	}
	if err := b.try("Page.navigate", map[string]any{"url": url}, nil); err != nil {
		return err
	}
	for begun := time.Now(); time.Since(begun) < longestAnswer; time.Sleep(20 * time.Millisecond) {
		var loaded bool
		if err := b.tryAsk(`return document.readyState === "complete" && !window.left`, &loaded); err == nil && loaded {
			return nil
		}
	}
	return fmt.Errorf("open %s: it has not loaded after %v", url, longestAnswer)
}

// try calls a method of the protocol.
func (b *tab) try(method string, params, result any) error {
	b.last++
	call := map[string]any{"id": b.last, "method": method}
	if params != nil {
		call["params"] = params
	}
	if b.session != "" && method != "Browser.close" {
		call["sessionId"] = b.session
	}
	raw, err := json.Marshal(call)
	if err != nil {
		return err
	}
	if _, err := b.in.Write(append(raw, 0)); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if err := b.deadend.SetReadDeadline(time.Now().Add(longestAnswer)); err != nil {
		return err
	}
	for {
		raw, err := b.out.ReadBytes(0)
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(raw[:len(raw)-1], &answer); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		switch {
		case answer.ID != b.last: // an event
		case answer.Error != nil:
			return fmt.Errorf("%s: %s", method, answer.Error.Message)
		case result == nil:
			return nil
		default:
			return json.Unmarshal(answer.Result, result)
		}
	}
}

// do is try, and nothing else can be done where it fails.
func (b *tab) do(method string, params, result any) {
	b.t.Helper()
	if err := b.try(method, params, result); err != nil {
		b.t.Fatal(err)
	}
}

// tryAsk runs a script in the page and reads what it returns into v.
func (b *tab) tryAsk(script string, v any) error {
	var got struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	script = `(async function () {
const tick = (ms) => new Promise((r) => setTimeout(r, ms));
const all = (selector) => Array.from(document.querySelectorAll(selector));
` + script + `})()`
	err := b.try("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &got)
	switch {
	case err != nil:
		return err
	case got.ExceptionDetails != nil:
		return fmt.Errorf("the script failed: %s", got.ExceptionDetails.Exception.Description)
	case v == nil:
		return nil
	}
	return json.Unmarshal(got.Result.Value, v)
}

func (b *tab) ask(script string, v any) {
	b.t.Helper()
	if err := b.tryAsk(script, v); err != nil {
		b.t.Fatal(err)
	}
}

// press presses keys, one after the other.
func (b *tab) press(keys ...string) {
	b.t.Helper()
	codes := map[string]int{"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "/": 191}
	texts := map[string]string{"Enter": "\r", " ": " ", "/": "/"}
	for _, key := range keys {
		down := map[string]any{"type": "rawKeyDown", "key": key, "windowsVirtualKeyCode": codes[key]}
		if text := texts[key]; text != "" {
			down["type"], down["text"] = "keyDown", text
		}
		b.do("Input.dispatchKeyEvent", down, nil)
		b.do("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "windowsVirtualKeyCode": codes[key]}, nil)
	}
}

// write types a text where the cursor is.
func (b *tab) write(text string) {
	b.t.Helper()
	b.do("Input.insertText", map[string]any{"text": text}, nil)
}

// emulate shows the page as on a medium, in a colour scheme.
func (b *tab) emulate(media, scheme string) {
	b.t.Helper()
	b.do("Emulation.setEmulatedMedia", map[string]any{"media": media, "features": []map[string]any{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// widen gives the page a width.
func (b *tab) widen(width int) {
	b.t.Helper()
	b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
}
