// The page's side of live forms: finds the elements of one kernel's forms (`.jf[data-jf="<kernel>.<n>"]`), wherever an output shows them, keeps them
// like what the kernel sends, lets times tick, and sends back what buttons are to do. It draws nothing of its own and has no view.
//
// A page may take outputs off and put them back (scrolling, a new view, an `update_display`): what a form looks like is kept here and put on whatever
// element appears. What the reader has unfolded, and the focus, survive it.
//
// A model outlives its kernel on the page, and nobody tells it. So whoever asks and hears nothing takes the buttons off, until somebody speaks.

const FORM = ".jf[data-jf]";
const PATIENCE_MS = 3000;

/** Make `old` like `fresh`, keeping the nodes that are there: selections, focus and what is unfolded stay. */
export function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || keyOf(old) !== keyOf(fresh)) {
    old.replaceWith(fresh);
    return fresh;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return old;
  }
  const same = old.nodeName === "TIME" && old.dataset.since === fresh.dataset.since;
  const typing = old.nodeName === "INPUT" && (old === document.activeElement || old.dataset.typed);
  for (const { name, value } of [...fresh.attributes])
    if (old.getAttribute(name) !== value && !(typing && name === "value")) old.setAttribute(name, value);
  for (const { name } of [...old.attributes])
    if (!fresh.hasAttribute(name) && name !== "open" && !name.startsWith("data-typed")) old.removeAttribute(name);
  if (old.nodeName === "INPUT" && !typing) old.value = fresh.getAttribute("value");
  if (!same) children(old, fresh);
  return old;
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-k") : null);

/** Nodes with a name (`data-k`) are found again wherever they stand now; the others in their order. */
function children(old, fresh) {
  const named = new Map();
  for (const child of old.children) if (keyOf(child)) named.set(keyOf(child), child);
  const kept = new Set();
  let here = old.firstChild;
  for (const want of [...fresh.childNodes]) {
    const known = keyOf(want) ? named.get(keyOf(want)) : here && !keyOf(here) ? here : null;
    if (known && known !== here) old.insertBefore(known, here);
    const made = known ? morph(known, want) : old.insertBefore(want, here);
    kept.add(made);
    here = made.nextSibling;
  }
  for (const child of [...old.childNodes]) if (!kept.has(child)) child.remove();
}

/** Nobody listens: what cannot be done is not offered. */
function disarm(element) {
  for (const one of element.querySelectorAll(".jf-end")) one.remove();
}

/** "7 s", "2:05 min", "1:02:03 h": whole seconds, so that it ticks calmly. */
export function elapsed(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)}:${two(s % 60)} min`;
  return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)} h`;
}

/** The forms of one kernel on one page. `mine(id)`: whether a form is one of them. `send(message)` goes to the kernel. */
export class Page {
  constructor(mine, send, root = document) {
    this.mine = mine;
    this.send = send;
    this.root = root;
    this.forms = new Map(); // id -> {html, open: names of what is unfolded, focus, asked}
    this.again = new Set(); // ids of forms that have appeared again since we asked last
    this.heardAt = 0;
    this.silent = false; // we asked, and nobody answered
    this.skew = 0; // the kernel's clock, less ours, in seconds
    this.welcome = false;
    this.stops = [];
    const on = (target, type, fn, capture = true) => {
      target.addEventListener(type, fn, capture);
      this.stops.push(() => target.removeEventListener(type, fn, capture));
    };
    on(root, "click", (event) => this.click(event));
    on(root, "toggle", (event) => this.toggled(event));
    on(root, "focusin", (event) => this.focused(event));
    on(root, "input", (event) => this.formOf(event.target) && (event.target.dataset.typed = "1"));
    // The page's shortcuts (Enter edits a notebook's cell) are not for who is in a form's button or field.
    on(window, "keydown", (event) => this.key(event));
    this.observer = new MutationObserver((changes) => this.appeared(changes));
    this.observer.observe(root === document ? document.body : root, { childList: true, subtree: true });
    this.clock = setInterval(() => this.tick(), 1000);
    this.stops.push(() => this.observer.disconnect(), () => clearInterval(this.clock), () => clearTimeout(this.timer), () => clearTimeout(this.patience));
    this.hello(0);
  }

  stop() {
    for (const stop of this.stops) stop();
    for (const element of this.elements()) disarm(element);
  }

  elements(id) {
    return [...this.root.querySelectorAll(FORM)].filter((one) => (id ? one.dataset.jf === id : this.mine(one.dataset.jf)));
  }

  formOf(target) {
    const element = target instanceof Element ? target.closest(FORM) : null;
    return element && this.mine(element.dataset.jf) ? element : null;
  }

  entry(id) {
    let entry = this.forms.get(id);
    if (!entry) this.forms.set(id, (entry = { html: null, open: new Set(), focus: null, asked: 0 }));
    return entry;
  }

  // --- to the kernel

  /** Say something that is answered at once, if anybody is there. */
  ask(message) {
    const at = Date.now();
    try {
      this.send(message);
    } catch {
      this.fallSilent(); // there is no connection to a kernel any more
      return;
    }
    this.patience ??= setTimeout(() => {
      this.patience = null;
      if (this.heardAt < at) this.fallSilent();
    }, PATIENCE_MS);
  }

  fallSilent() {
    this.silent = true;
    for (const element of this.elements()) disarm(element);
  }

  /** Say that we are here, until somebody answers: the first message may be stuck behind a busy cell while the way around it is being made. */
  hello(tries) {
    if (this.welcome || tries > 6) return;
    const ids = this.unknown();
    this.ask({ t: "hello", ids });
    this.timer = setTimeout(() => this.hello(tries + 1), 250 * 2 ** tries);
  }

  /** Forms on the page that we know nothing of, and have not asked for more than a few times. */
  unknown() {
    const ids = [...new Set(this.elements().map((one) => one.dataset.jf))];
    return ids.filter((id) => this.again.delete(id) || (this.entry(id).html === null && this.entry(id).asked++ < 5));
  }

  want() {
    if (this.wanting) return;
    this.wanting = setTimeout(() => {
      this.wanting = null;
      const ids = this.unknown();
      if (!ids.length) return;
      this.ask({ t: "want", ids });
      setTimeout(() => this.want(), 2000);
    }, 20);
  }

  // --- from the kernel

  hear(message) {
    this.heardAt = Date.now();
    if (this.silent) {
      this.silent = false;
      for (const element of this.elements()) this.put(element);
    }
    if (message.now) this.skew = message.now - Date.now() / 1000;
    if (message.t === "welcome") this.welcome = true;
    if (message.t === "push") {
      for (const [id, html] of Object.entries(message.forms)) {
        this.entry(id).html = html;
        this.entry(id).time = message.now;
        for (const element of this.elements(id)) this.put(element);
      }
      if (message.ask) this.send({ t: "here" });
    }
    if (message.t === "gone") {
      for (const id of message.ids) {
        this.entry(id).asked = 99;
        for (const element of this.elements(id)) disarm(element);
      }
    }
    if (this.forms.size > 500) this.tidy();
  }

  /** Forget forms that are on no page. If they come back they are asked for again. */
  tidy() {
    const here = new Set(this.elements().map((one) => one.dataset.jf));
    for (const id of [...this.forms.keys()]) if (!here.has(id)) this.forms.delete(id);
  }

  put(element) {
    const entry = this.entry(element.dataset.jf);
    if (entry.html === null) return;
    const made = document.createElement("template");
    made.innerHTML = entry.html;
    const fresh = made.content.firstElementChild;
    if (!fresh) return;
    morph(element, fresh);
    if (this.silent) disarm(element);
    for (const one of element.querySelectorAll("details[data-k]")) if (entry.open.has(one.dataset.k) && !one.open) one.open = true;
    for (const one of element.querySelectorAll("time[data-since]")) this.show(one);
  }

  appeared(changes) {
    let some = false;
    for (const { addedNodes } of changes)
      for (const node of addedNodes) {
        if (node.nodeType !== Node.ELEMENT_NODE || node.closest(FORM) !== null && !node.matches(FORM)) continue;
        const found = node.matches(FORM) ? [node] : node.querySelectorAll(FORM);
        for (const element of found) {
          if (!this.mine(element.dataset.jf)) continue;
          const entry = this.entry(element.dataset.jf);
          some = true;
          if (entry.html !== null) {
            this.put(element);
            this.again.add(element.dataset.jf);
          }
          if (entry.focus && Date.now() - entry.focus.at < 60000 && document.activeElement === document.body)
            element.querySelector(`[data-k="${CSS.escape(entry.focus.key)}"]`)?.focus({ preventScroll: true });
        }
      }
    if (some) this.want();
  }

  // --- the reader

  click(event) {
    const element = this.formOf(event.target);
    const button = element && event.target.closest("button[data-do]");
    if (!button) return;
    event.preventDefault();
    this.act(element, button);
  }

  act(element, button) {
    const args = {};
    for (const field of element.querySelectorAll("input[data-arg]")) {
      if (!field.reportValidity() || field.value === "") return;
      args[field.dataset.arg] = Number(field.value);
      delete field.dataset.typed;
    }
    for (const one of element.querySelectorAll("button[data-do]")) one.disabled = true; // until the kernel has drawn it anew
    this.ask({ t: "do", form: element.dataset.jf, do: button.dataset.do, args });
  }

  key(event) {
    const element = this.formOf(event.target);
    if (!element || !event.target.closest("button,input,summary")) return;
    if (!["Enter", " ", "ArrowUp", "ArrowDown", "Escape"].includes(event.key)) return;
    event.stopPropagation();
    const field = event.target.closest("input[data-arg]");
    const button = field && event.key === "Enter" && element.querySelector("button[data-do]");
    if (button) this.act(element, button);
  }

  toggled(event) {
    const element = this.formOf(event.target);
    const name = element && event.target.dataset.k;
    if (!name) return;
    const open = this.entry(element.dataset.jf).open;
    if (event.target.open) open.add(name);
    else if (event.target.isConnected) open.delete(name);
  }

  focused(event) {
    const element = this.formOf(event.target);
    for (const entry of this.forms.values()) entry.focus = null;
    if (element && event.target.dataset.k) this.entry(element.dataset.jf).focus = { key: event.target.dataset.k, at: Date.now() };
  }

  show(time) {
    const text = elapsed(Date.now() / 1000 + this.skew - Number(time.dataset.since));
    if (time.textContent !== text) time.textContent = text;
  }

  tick() {
    if (document.hidden) return;
    for (const element of this.elements()) for (const one of element.querySelectorAll("time[data-since]")) this.show(one);
  }
}

/** A form as a widget of its own (`jupyterfut.notebook.widgets.Form`). */
function render({ model, el }) {
  const root = document.createElement("div");
  root.innerHTML = model.get("html");
  el.append(root);
  const page = new Page((id) => id === model.get("key"), (message) => message.t === "do" && model.send(message), root);
  page.welcome = true;
  const drawn = () => page.hear({ t: "push", forms: { [model.get("key")]: model.get("html") } });
  model.on("change:html", drawn);
  drawn();
  return () => {
    model.off("change:html", drawn);
    page.stop();
  };
}

export default {
  render,
  initialize({ model }) {
    if (!model.get("key") || model.get("html")) return; // a widget of its own
    const mine = `${model.get("key")}.`;
    const page = new Page((id) => id.startsWith(mine), (message) => model.send(message));
    const hear = (message) => page.hear(message);
    model.on("msg:custom", hear);
    return () => {
      model.off("msg:custom", hear);
      page.stop();
    };
  },
};
