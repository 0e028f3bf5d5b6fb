(function () {
  "use strict";
  const root = document.documentElement;
  const main = document.getElementById("main");
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const repositories = Array.from(document.querySelectorAll("details.repository"));
  const details = () => Array.from(document.querySelectorAll("main details"));

  document.getElementById("theme").addEventListener("click", function () {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  document.getElementById("collapse").addEventListener("click", function () {
    details().forEach(function (d) { d.open = false; });
  });
  function openDifferences() {
    document.querySelectorAll("details.object").forEach(function (d) {
      d.open = true;
      d.closest("details.repository").open = true;
    });
    document.querySelectorAll("details.severity").forEach(function (d) { d.open = true; });
  }
  document.getElementById("expand").addEventListener("click", openDifferences);

  // What is printed is what a reviewer signs, whatever is searched for or closed:
  // all but the names of what is adopted as it is. After that it is as it was.
  let before = null;
  addEventListener("beforeprint", function () {
    before = { open: details().filter(function (d) { return d.open; }), hidden: Array.from(main.querySelectorAll("[hidden]")), searching: main.className };
    before.hidden.forEach(function (e) { e.hidden = false; });
    main.className = "";
    details().forEach(function (d) { d.open = d.matches(":not(.quiet), .told"); });
  });
  addEventListener("afterprint", function () {
    if (!before) { return; }
    details().forEach(function (d) { d.open = before.open.includes(d); });
    before.hidden.forEach(function (e) { e.hidden = true; });
    main.className = before.searching;
    before = null;
  });

  // A link to a repository opens it, again where it was closed since.
  function openTarget() {
    let name = location.hash.slice(1);
    try { name = decodeURIComponent(name); } catch (e) { /* then it is as it stands */ }
    const target = repositories.find(function (d) { return d.id === name; });
    if (target) { target.hidden = false; target.open = true; target.scrollIntoView(); }
  }
  main.addEventListener("click", function (event) {
    if (event.target.closest("a[href^='#repository-']")) { setTimeout(openTarget); }
  });
  addEventListener("hashchange", openTarget);
  openTarget();

  // Search: every word must stand in the item, or in the name of its repository.
  let items = null, openBefore = null;
  const folds = "details.quiet, details.severity";
  function collect() {
    return Array.from(document.querySelectorAll(".item")).map(function (element) {
      const repository = element.closest("details.repository");
      const app = element.closest(".app");
      const name = (repository ? repository.id + " " : "") + (app && app.firstElementChild.tagName === "H5" ? app.firstElementChild.textContent + " " : "");
      return { element: element, around: [repository, element.closest(folds), app].filter(Boolean), text: (name + element.textContent).toLowerCase() };
    });
  }
  // What is searched is read while nobody waits for it.
  if (window.requestIdleCallback) {
    addEventListener("load", function () { requestIdleCallback(function () { items = items || collect(); }); });
  }
  function run() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    items = items || collect();
    const apps = document.querySelectorAll(".app");
    if (words.length > 0 && !main.className) { scrollTo(0, 0); }
    main.className = words.length > 0 ? "searching" : "";
    if (words.length === 0) {
      items.forEach(function (i) { i.element.hidden = false; });
      repositories.forEach(function (d) { d.hidden = false; });
      document.querySelectorAll(folds).forEach(function (d) { d.hidden = false; });
      apps.forEach(function (a) { a.hidden = false; });
      if (openBefore) { details().forEach(function (d) { d.open = openBefore.has(d); }); openBefore = null; }
      found.textContent = "";
      return;
    }
    openBefore = openBefore || new Set(details().filter(function (d) { return d.open; }));
    let count = 0;
    const shown = new Set();
    items.forEach(function (i) {
      const hit = words.every(function (w) { return i.text.includes(w); });
      i.element.hidden = !hit;
      if (hit) {
        count++;
        i.around.forEach(function (e) { shown.add(e); });
      }
    });
    apps.forEach(function (a) { a.hidden = !shown.has(a); });
    const few = Array.from(document.querySelectorAll(folds)).concat(repositories).filter(function (d) { return shown.has(d); }).length <= 40;
    repositories.forEach(function (d) { d.hidden = !shown.has(d); d.open = few && shown.has(d); });
    document.querySelectorAll(folds).forEach(function (d) { d.hidden = !shown.has(d); d.open = few && shown.has(d); });
    found.textContent = count + " of " + items.length;
  }
  let waiting = 0;
  search.addEventListener("input", function () {
    clearTimeout(waiting);
    waiting = setTimeout(run, 60);
  });
  addEventListener("keydown", function (event) {
    if (event.key === "/" && document.activeElement !== search && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "Escape" && (search.value || document.activeElement === search)) {
      clearTimeout(waiting);
      search.value = "";
      run();
      if (document.activeElement === search) { search.blur(); } else { document.activeElement.scrollIntoView({ block: "center" }); }
    } else if (event.key === "Enter" && document.activeElement === search) {
      clearTimeout(waiting);
      run();
      const first = Array.from(document.querySelectorAll("details.object:not([hidden]) > summary, .item:not([hidden])")).find(function (e) { return e.checkVisibility(); });
      if (first) {
        if (first.tagName !== "SUMMARY") { first.tabIndex = -1; }
        first.focus();
        first.scrollIntoView({ block: "center" });
      }
    }
  });
})();
