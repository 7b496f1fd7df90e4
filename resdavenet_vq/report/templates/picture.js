"use strict";

// Saves an utterance as it is seen, rows and spectrogram, as a PNG: what the window shows of it, drawn again on a canvas.
(() => {
  const RATIO = 2;  // pixels of the picture in one of the page

  function text(context, element, label, x, y, width, height) {
    const { color, fontSize, fontWeight, fontFamily, writingMode } = getComputedStyle(element);
    context.font = `${fontWeight} ${fontSize} ${fontFamily}`;
    context.fillStyle = color;
    context.textBaseline = "middle";
    if (element.classList.contains("box")) {
      context.textAlign = "center";
      context.translate(x + width / 2, y + height / 2);
      if (writingMode !== "horizontal-tb") context.rotate(Math.PI / 2);
      context.fillText(label, 0, 0);
    } else {
      context.textAlign = "left";
      context.fillText(label, x + (parseFloat(getComputedStyle(element).paddingLeft) || 0), y + height / 2);
    }
  }

  function loaded(source) {
    return new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => resolve(image);
      image.onerror = () => reject(new Error("The spectrogram is damaged: write the report again"));
      image.src = source;
    });
  }

  report.picture = async (stage) => {
    const scroll = stage.closest(".scroll"), edges = scroll.getBoundingClientRect();
    const spectrogram = stage.querySelector(".spectrogram img");
    const grey = await loaded(spectrogram.src);
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(scroll.clientWidth * RATIO);
    canvas.height = Math.round(stage.offsetHeight * RATIO);
    const context = canvas.getContext("2d");
    context.scale(RATIO, RATIO);
    context.fillStyle = getComputedStyle(stage.closest(".viewer")).backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    const clipped = (element, draw) => {
      const { left, top, width, height } = element.getBoundingClientRect();
      const x = left - edges.left, y = top - edges.top;
      if (!width || x > scroll.clientWidth || x + width < 0) return;
      context.save();
      context.beginPath();
      context.rect(x, y, width, height);
      context.clip();
      draw(x, y, width, height);
      context.restore();
    };
    const frame = spectrogram.parentElement;
    clipped(frame, (x, y, width, height) => {
      const { left, width: whole } = spectrogram.getBoundingClientRect();
      context.drawImage(grey, left - edges.left, y, whole, height);
      if (getComputedStyle(spectrogram).filter !== "none") {  // on a dark page it is inverted
        context.globalCompositeOperation = "difference";
        context.fillStyle = "#ffffff";
        context.fillRect(x, y, width, height);
      }
    });
    for (const element of stage.querySelectorAll(".box, .rowname, .hertz, .axis span, .marked, .playhead")) {
      clipped(element, (x, y, width, height) => {
        const { backgroundColor, borderLeftWidth, borderLeftColor, borderRightWidth, borderRightColor, outlineStyle, outlineColor } = getComputedStyle(element);
        context.fillStyle = backgroundColor;
        context.fillRect(x, y, width, height);
        context.fillStyle = borderLeftColor;
        context.fillRect(x, y, parseFloat(borderLeftWidth), height);
        const right = parseFloat(borderRightWidth);
        context.fillStyle = borderRightColor;
        context.fillRect(x + width - right, y, right, height);
        if (outlineStyle !== "none") {
          context.strokeStyle = outlineColor;
          context.lineWidth = 6;
          context.strokeRect(x, y, width, height);
        }
        if (element.textContent) text(context, element, element.textContent, x, y, width, height);
      });
    }
    return canvas;
  };

  report.savePicture = async (stage, name) => {
    const canvas = await report.picture(stage);
    const blob = await new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
    report.save(`${name}.png`, blob);
  };
})();
