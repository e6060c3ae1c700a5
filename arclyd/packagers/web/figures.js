// A stream's figures as text, and where they stand in a page.

const STATES = {
  publishing: "live", interrupted: "interrupted", idle: "idle", ended: "ended",
  recording: "recording", transcoding: "transcoding",
};

const TERMS = {
  bitrate: "Bitrate", fps: "Frame rate", viewers: "Viewers", lag: "Lag", size: "Size", codecs: "Codecs",
};

const SHOWN = {
  state: (figures) => stateOf(figures),
  bitrate: (figures) => bitrate(figures.bitrate),
  fps: (figures) => (figures.width ? `${figures.fps.toFixed(1)} fps` : "no picture"),
  viewers: (figures) => String(figures.viewers),
  lag: (figures) => seconds(figures.lag),
  size: (figures) => (figures.width ? `${figures.width}×${figures.height}` : "no picture"),
  codecs: (figures) => figures.codecs.join(", "),
};

/** The words of its state, as a person says them. */
export function stateOf(figures) {
  return figures.state.map((word) => STATES[word] ?? word).join(", ");
}

/** Bits a second with a unit. */
export function bitrate(bits) {
  return bits < 1e6 ? `${Math.round(bits / 1e3)} kb/s` : `${(bits / 1e6).toFixed(bits < 1e7 ? 2 : 1)} Mb/s`;
}

/** A short time with a unit. */
export function seconds(value) {
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
}

/** Gives each list below `root` that names figures an entry for each of them, before what it has itself. */
export function lay(root) {
  for (const list of root.querySelectorAll("dl[data-figures]")) {
    list.prepend(...list.dataset.figures.split(" ").map(entry));
  }
}

function entry(figure) {
  const row = document.createElement("div");
  const term = document.createElement("dt");
  const value = document.createElement("dd");
  term.textContent = TERMS[figure];
  value.dataset.figure = figure;
  row.append(term, value);
  return row;
}

/** Sets text only where it is another one: what a screen reader is reading stays. */
export function write(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** Writes the figures of a stream to the elements below `root` that are named for them. */
export function fill(root, figures) {
  for (const element of root.querySelectorAll("[data-figure]")) {
    write(element, SHOWN[element.dataset.figure](figures));
    if (element.dataset.figure === "state") {
      element.dataset.state = figures.state[0] ?? "";
    }
  }
}
