"use strict";

// Tables whose head has buttons are sorted by them: numbers by value, texts by alphabet; what is not known comes last.
function sortTable(button) {
  const head = button.closest("th");
  const body = head.closest("table").tBodies[0];
  const column = head.cellIndex;
  const key = (row) => {
    const cell = row.cells[column];
    const number = cell.querySelector("data");
    return number ? Number(number.value) : cell.querySelector(".unknown") ? null : cell.textContent.trim();
  };
  const first = head.dataset.first || "descending";
  const other = first === "descending" ? "ascending" : "descending";
  const order = head.getAttribute("aria-sort") === first ? other : first;
  const sign = order === "ascending" ? 1 : -1;
  const compare = (a, b) => (typeof a === "string" && typeof b === "string" ? a.localeCompare(b) : a < b ? -1 : a > b ? 1 : 0);
  const rows = [...body.rows].map((row) => [key(row), row]);
  rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
  body.append(...rows.map(([, row]) => row));
  for (const cell of head.parentElement.cells) cell.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
}
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => sortTable(button));

// While an utterance plays, a line runs over its spectrogram; a click in the spectrogram plays from there.
for (const section of document.querySelectorAll(".utterance")) {
  const audio = section.querySelector("audio");
  const stage = section.querySelector(".stage");
  if (!audio || !stage) continue;
  const { left, right, duration } = stage.dataset; // shares of the picture's width; seconds
  const line = stage.querySelector(".playhead");
  const place = () => {
    line.style.display = "block";
    line.style.left = `${100 * (Number(left) + (audio.currentTime / Number(duration)) * (right - left))}%`;
    if (!audio.paused) requestAnimationFrame(place);
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    place();
  });
  audio.addEventListener("seeked", place);
  stage.addEventListener("click", (event) => {
    const box = stage.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    const seconds = Math.max(0, Math.min(1, (share - left) / (right - left))) * duration;
    const start = () => { audio.currentTime = seconds; audio.play(); };
    if (audio.readyState) start();
    else { audio.addEventListener("loadedmetadata", start, { once: true }); audio.load(); }
  });
}
