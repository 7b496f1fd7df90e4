"use strict";

// An utterance over time: rows of words, phones and codes above its spectrogram, whole or a stretch of it.
(() => {
  const { make, need } = report;
  const COLORS = ["#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00", "#DDDDDD"];
  const MARGIN = 0.3;  // seconds before and after of an occurrence

  const about = report.about();
  const visibleLayers = new Set(about.layers.map((layer) => layer.number));
  report.visibleLayers = visibleLayers;
  report.utterance = async (number) => (await need(`utterances-${Math.floor(number / about.utterancesPerPiece)}`))[number % about.utterancesPerPiece];
  // with its spectrogram, which `draw` needs
  report.pictured = async (number) => Object.assign(await report.utterance(number), { spectrogram: await need(`spectrogram-${number}`) });

  // Check boxes for the rows of codes; whoever draws codes listens for "layers".
  report.layerBoxes = (host) => {
    const boxes = about.layers.map((layer) => make("input", { type: "checkbox", checked: true, value: layer.number }));
    function choose() {
      visibleLayers.clear();
      for (const box of boxes) if (box.checked) visibleLayers.add(Number(box.value));
      document.dispatchEvent(new Event("layers"));
    }
    function restore() {  // rows=0.2 in the address
      const { rows } = report.state.read();
      if (rows === undefined) return;
      const numbers = rows.split(".");
      for (const box of boxes) box.checked = numbers.includes(box.value);
      choose();
    }
    function changed() {
      choose();
      const all = visibleLayers.size === boxes.length;
      report.state.write({ ...report.state.read(), rows: all ? null : [...visibleLayers].join(".") }, { replace: true });
    }
    for (const box of boxes) box.addEventListener("change", changed);
    report.drawLayers = (numbers) => { for (const box of boxes) box.checked = numbers.includes(Number(box.value)); changed(); };
    host.append(...boxes.map((box, i) => make("label", {}, box, ` ${about.layers[i].title}`)));
    report.state.watch(restore);
    restore();
    host.closest("fieldset").hidden = !about.layers.length;
  };

  const runsOf = (runs) => runs.code.map((code, i) => [runs.edge[i], runs.edge[i + 1], String(code)]);

  report.runs = (u, layer) => (u.codes[layer] ? runsOf(u.codes[layer]) : []);

  // The rows that are drawn: name, intervals, and the number of the layer for codes.
  const rowsOf = report.rowsOf = (u) => {
    const rows = [["words", u.words, null], ["phones", u.phones, null]].filter(([, intervals]) => intervals && intervals.length);
    for (const layer of about.layers) if (visibleLayers.has(layer.number) && u.codes[layer.number]) rows.push([layer.title, runsOf(u.codes[layer.number]), layer.number]);
    return rows;
  };

  // What is at a time, in words.
  report.describe = (u, time) => {
    const here = rowsOf(u).map(([name, intervals]) => [name, intervals.find(([start, end]) => start <= time && time < end)]);
    return `${time.toFixed(2)} s: ${here.map(([name, interval]) => `${name.replace(/s$/, "")} ${interval ? interval[2] : "–"}`).join(" · ")}`;
  };

  // The visible rows as a table: row, start and end in seconds, label.
  report.rowsAsCsv = (u) => report.csv([["row", "start", "end", "label"], ...rowsOf(u).flatMap(([name, intervals]) => intervals.map((interval) => [name, ...interval]))]);

  // The visible rows as a Praat TextGrid: tiers without gaps and overlaps, from 0 to the end of all.
  report.textGrid = (u) => {
    const tiers = rowsOf(u).map(([name, intervals]) => [name, [...intervals].sort((a, b) => a[0] - b[0] || a[1] - b[1])]);
    const end = Math.max(u.duration, ...tiers.flatMap(([, intervals]) => intervals.map((interval) => interval[1])));
    const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
    const lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", `xmax = ${end}`, "tiers? <exists>", `size = ${tiers.length}`, "item []:"];
    for (const [number, [name, intervals]] of tiers.entries()) {
      const whole = [];
      let at = 0;
      for (const [start, stop, label] of intervals) {
        if (stop <= Math.max(start, at)) continue;
        if (start > at) whole.push([at, start, ""]);
        whole.push([Math.max(start, at), stop, label]);
        at = stop;
      }
      if (at < end) whole.push([at, end, ""]);
      lines.push(`    item [${number + 1}]:`, '        class = "IntervalTier"', `        name = ${quoted(name)}`, "        xmin = 0", `        xmax = ${end}`, `        intervals: size = ${whole.length}`);
      for (const [i, [start, stop, label]] of whole.entries()) lines.push(`        intervals [${i + 1}]:`, `            xmin = ${start}`, `            xmax = ${stop}`, `            text = ${quoted(label)}`);
    }
    return `${lines.join("\n")}\n`;
  };

  function box(start, end, label, layer, span, scale, focus) {
    const left = Math.max(start, span[0]), right = Math.min(end, span[1]);
    if (right <= left) return null;
    const width = (right - left) * scale;
    const lying = width >= 6.6 * label.length + 3, standing = !lying && layer !== null && width >= 10;
    const isFocus = focus && (layer === null ? focus.word === label : focus.layer === layer && String(focus.code) === label);
    const element = make(layer === null ? "span" : "a", {
      class: `box${standing ? " standing" : ""}${isFocus ? " focused" : ""}`, title: `${label}, ${start.toFixed(2)}–${end.toFixed(2)} s`, tabindex: layer === null ? null : "-1",
      href: layer === null ? null : `units.html${report.state.link({ layer, code: label })}`,
    }, lying || standing || layer === null ? label : "");
    element.style.left = `${(left - span[0]) * scale}px`;
    element.style.width = `${width}px`;
    if (layer !== null) element.style.backgroundColor = COLORS[Number(label) % COLORS.length];
    return element;
  }

  // Draws into `host`; `scale` in pixels a second. Returns a function that moves the cursor, or hides it (null).
  function draw(host, u, { span, scale, marked = null, focus = null, height = 128 }) {
    const width = (span[1] - span[0]) * scale;
    const rows = rowsOf(u).map(([name, intervals, layer]) => make("div", { class: `row${layer === null ? "" : " codes"}` },
      make("div", { class: "rowname" }, name),
      make("div", { class: "boxes" }, ...intervals.map(([start, end, label]) => box(start, end, label, layer, span, scale, focus)).filter(Boolean))));
    const image = make("img", { src: u.spectrogram, alt: `Spectrogram of utterance ${u.id}`, draggable: "false" });
    image.style.left = `${-(span[0] + about.hop / 2) * scale}px`;
    image.style.width = `${u.frames * about.hop * scale}px`;
    const picture = make("div", { class: "spectrogram" }, image, ...about.ticks.map(([hz, share]) => {
      const tick = make("span", { class: "hertz", "aria-hidden": "true" }, hz >= 1000 ? `${hz / 1000}k` : String(hz));
      tick.style.bottom = `${100 * share}%`;
      return tick;
    }));
    picture.style.height = `${height}px`;
    const step = [0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5].find((s) => s * scale >= 48) || 10;
    const axis = make("div", { class: "axis", "aria-hidden": "true" });
    for (let n = Math.ceil(span[0] / step); n * step <= span[1]; n += 1) {
      const tick = make("span", {}, `${Number((n * step).toFixed(2))}`);
      tick.style.left = `${(n * step - span[0]) * scale}px`;
      if ((n * step - span[0]) * scale < width - 24) axis.append(tick);
    }
    const head = make("div", { class: "playhead" });
    const bands = marked ? [make("div", { class: "marked" })] : [];
    for (const band of bands) {
      band.style.left = `${(marked[0] - span[0]) * scale}px`;
      band.style.width = `${(marked[1] - marked[0]) * scale}px`;
    }
    host.style.width = `${width}px`;
    host.replaceChildren(...rows, picture, axis, ...bands, head);
    return (time) => {
      head.style.display = time === null || time < span[0] || time > span[1] ? "none" : "block";
      if (time !== null) head.style.left = `${(time - span[0]) * scale}px`;
    };
  }

  // -- a whole utterance --------------------------------------------------------------------------------------

  // `host` gets player, zoom and picture; arrow keys move the cursor, and say what is there.
  // `moved` hears the time when it comes to rest.
  report.viewer = (host, u, { time = 0, focus = null, moved = () => {} } = {}) => {
    const audio = make("audio", { controls: true, preload: "metadata", src: u.sound, "aria-label": `Utterance ${u.id}` });
    const said = make("output", { class: "said", "aria-live": "polite" });
    const stage = make("div", { class: "stage" });
    // beside the stage, over which it lies, since its codes are links and no control holds others
    const slider = make("div", { class: "time", tabindex: "0", role: "slider", "aria-label": "Time in the utterance; arrow keys move, space plays", "aria-valuemin": "0", "aria-valuemax": u.duration.toFixed(2) });
    const scroll = make("div", { class: "scroll" }, stage, slider);
    const zoom = make("input", { type: "range", min: "0", max: "100", value: "0", "aria-label": "Zoom" });
    host.replaceChildren(make("div", { class: "controls" }, audio, make("label", { class: "zoom" }, "Zoom ", zoom)), said, make("div", { class: "viewer" }, scroll));
    let move = () => {}, now = time, scale = 1;
    const fit = () => Math.max(260, (scroll.clientWidth - 2) / u.duration);
    function redraw() {
      const centre = (scroll.scrollLeft + scroll.clientWidth / 2) / scale;
      scale = fit() * (1000 / Math.min(900, fit())) ** (zoom.value / 100);
      move = draw(stage, u, { span: [0, u.duration], scale, focus });
      scroll.scrollLeft = centre * scale - scroll.clientWidth / 2;
      move(now);
    }
    function place(seconds, { speak = true } = {}) {
      now = Math.max(0, Math.min(u.duration, seconds));
      move(now);
      const x = now * scale;
      if (x < scroll.scrollLeft || x > scroll.scrollLeft + scroll.clientWidth - 8) scroll.scrollLeft = x - scroll.clientWidth * 0.1;
      const text = report.describe(u, now);
      slider.setAttribute("aria-valuenow", now.toFixed(2));
      slider.setAttribute("aria-valuetext", text);
      said.setAttribute("aria-live", speak ? "polite" : "off");
      said.textContent = text;
    }
    const seek = (seconds, play) => {
      place(seconds);
      moved(now);
      const go = () => { audio.currentTime = now; if (play) audio.play(); };
      if (audio.readyState) go(); else { audio.addEventListener("loadedmetadata", go, { once: true }); audio.load(); }
    };
    const follow = () => { place(audio.currentTime, { speak: false }); if (!audio.paused && !audio.ended) requestAnimationFrame(follow); };
    audio.addEventListener("play", follow);
    audio.addEventListener("pause", () => { place(audio.currentTime); if (host.contains(stage)) moved(now); });
    audio.addEventListener("seeked", () => { if (audio.paused) place(audio.currentTime); });
    stage.addEventListener("click", (event) => {
      if (event.target.closest("a")) return;
      slider.focus({ preventScroll: true });
      seek((event.clientX - stage.getBoundingClientRect().left) / scale, true);
    });
    slider.addEventListener("keydown", (event) => {
      const by = event.shiftKey ? 0.2 : 0.02;
      const to = { ArrowRight: now + by, ArrowUp: now + by, ArrowLeft: now - by, ArrowDown: now - by, PageUp: now + 0.5, PageDown: now - 0.5, Home: 0, End: u.duration }[event.key];
      if (to === undefined && event.key !== " ") return;
      event.preventDefault();
      if (to !== undefined) seek(to, false); else if (audio.paused) audio.play(); else audio.pause();
    });
    zoom.addEventListener("input", redraw);
    const again = () => (host.contains(stage) ? redraw() : stop());
    const stop = () => { document.removeEventListener("layers", again); window.removeEventListener("resize", again); };
    document.addEventListener("layers", again);
    window.addEventListener("resize", again);
    redraw();
    place(time, { speak: false });
    if (time) seek(time, false);
  };

  // -- many places --------------------------------------------------------------------------------------------

  function card([number, start, end], { focus }) {
    const stage = make("div", { class: "stage" });
    const button = make("button", { type: "button", class: "play" }, "▶ Play");
    const save = make("button", { type: "button", class: "link" }, "PNG");
    const head = make("div", { class: "card-head" }, button);
    const text = make("p", { class: "quiet" });
    const element = make("li", { class: "place" }, head, make("div", { class: "viewer" }, make("div", { class: "scroll" }, stage)), text);
    element.fill = async () => {
      const u = await report.pictured(number);
      const span = [Math.max(0, start - MARGIN), Math.min(Math.max(u.duration, end), end + MARGIN)];
      head.append(make("a", { href: `utterances.html${report.state.link({ id: u.id, t: start, ...(focus?.code === undefined ? {} : focus) })}` }, u.id), make("span", { class: "quiet" }, `${start.toFixed(2)}–${end.toFixed(2)} s`), save);
      save.setAttribute("aria-label", `PNG: save the picture of ${u.id} at ${start.toFixed(2)} seconds`);
      save.addEventListener("click", () => report.savePicture(stage, `${report.fileName(u.id)}-${start.toFixed(2)}`).catch(report.fail));
      button.setAttribute("aria-label", `Play ${u.id} from ${start.toFixed(2)} to ${end.toFixed(2)} seconds`);
      text.textContent = u.text || "no text";
      let move = () => {};
      const redraw = () => { move = draw(stage, u, { span, scale: (stage.parentElement.clientWidth - 1) / (span[1] - span[0]), marked: [start, end], focus, height: 88 }); };
      button.addEventListener("click", () => {
        if (button.dataset.playing) { report.player.stop(); return; }
        report.player.play(u.sound, Math.max(0, start - MARGIN), end, (time) => {
          move(time);
          if (time === null) { delete button.dataset.playing; button.textContent = "▶ Play"; } else if (!button.dataset.playing) { button.dataset.playing = "yes"; button.textContent = "■ Stop"; }
        });
      });
      const again = () => { if (element.isConnected) redraw(); else { document.removeEventListener("layers", again); window.removeEventListener("resize", again); } };
      document.addEventListener("layers", again);
      window.addEventListener("resize", again);
      redraw();
    };
    return element;
  }

  // Places (utterance, start, end) as cards that are drawn when they come near, twelve at a time.
  report.places = (host, places, options = {}) => {
    const list = make("ol", { class: "places" });
    const near = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((e) => e.isIntersecting)) { near.unobserve(entry.target); entry.target.fill().catch(report.fail); }
    }, { rootMargin: "300px" });
    let n = 0;
    const more = make("button", { type: "button", class: "more" });
    const add = () => {
      for (const place of places.slice(n, n + 12)) { const element = card(place, options); list.append(element); near.observe(element); }
      n = Math.min(places.length, n + 12);
      more.hidden = n >= places.length;
      more.textContent = `Show more (${places.length - n} left)`;
    };
    more.addEventListener("click", () => { const first = n; add(); list.children[first].querySelector("button").focus(); });
    host.replaceChildren(list, more);
    add();
  };
})();
