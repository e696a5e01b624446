// Plots as inline SVG: a scale maps data to pixels, linear or logarithmic by how far the data reach.

const INKS = ["--ink1", "--ink2", "--ink3", "--ink4", "--ink5", "--ink6"];
const ink = (number) => `var(${INKS[number % INKS.length]})`;
const FRAME = { width: 420, height: 250, left: 52, right: 14, top: 12, bottom: 40 };

function scaleOf(values, from, to) {
  let low = Math.min(...values);
  let high = Math.max(...values);
  const isLog = low > 0 && high / low > 12;
  if (isLog) [low, high] = [low / 1.25, high * 1.25];
  else {
    const margin = (high - low) * 0.07 || Math.abs(high) * 0.1 || 1;
    [low, high] = [low >= 0 && low - margin < 0 ? 0 : low - margin, high + margin];
  }
  const place = isLog ? (value) => Math.log(value / low) / Math.log(high / low) : (value) => (value - low) / (high - low);
  const scale = (value) => from + (to - from) * place(value);
  return Object.assign(scale, { ticks: isLog ? logTicks(low, high) : linearTicks(low, high), isLog });
}

function linearTicks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) ticks.push(Math.abs(tick) < step / 1e6 ? 0 : tick);
  return ticks;
}

function logTicks(low, high) {
  const decades = Math.log10(high / low);
  const factors = decades > 3 ? [1] : decades > 1.4 ? [1, 3] : [1, 2, 5];
  const stride = Math.max(1, Math.ceil(decades / 5));
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += stride) {
    for (const factor of factors) if (factor * 10 ** power >= low && factor * 10 ** power <= high) ticks.push(factor * 10 ** power);
  }
  return ticks;
}

function axes(xScale, yScale, xName, yName) {
  const { width, height, left, right, top, bottom } = FRAME;
  const lines = yScale.ticks.map((tick) => svg("line", { class: "grid", x1: left, x2: width - right, y1: yScale(tick), y2: yScale(tick) }));
  const yLabels = yScale.ticks.map((tick) => svg("text", { class: "tick", x: left - 6, y: yScale(tick) + 3.5, "text-anchor": "end" }, short(tick)));
  const xLabels = xScale.ticks.map((tick) => svg("text", { class: "tick", x: xScale(tick), y: height - bottom + 15, "text-anchor": "middle" }, short(tick)));
  const base = svg("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom });
  const xTitle = svg("text", { class: "name", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xName);
  const middle = (top + height - bottom) / 2;
  const yTitle = svg("text", { class: "name", x: 11, y: middle, "text-anchor": "middle", transform: `rotate(-90 11 ${middle})` }, yName);
  return svg("g", {}, lines, base, yLabels, xLabels, xTitle, yTitle);
}

const canvas = (label, ...children) => svg("svg", { viewBox: `0 0 ${FRAME.width} ${FRAME.height}`, role: "img", "aria-label": label }, children);
const xSpan = [FRAME.left + 6, FRAME.width - FRAME.right - 6];
const ySpan = [FRAME.height - FRAME.bottom - 4, FRAME.top];

// The points that no other is better than in both; signs turn "higher is better" round.
function paretoFront(points, xSign, ySign) {
  const sorted = [...points].sort((a, b) => xSign * (a.x - b.x) || ySign * (a.y - b.y));
  let best = Infinity;
  return sorted.filter((point) => {
    const isBetter = ySign * point.y < best;
    if (isBetter) best = ySign * point.y;
    return isBetter;
  });
}

// points: {x, y, group, name, row}; better: which way each axis is better.
function scatterPlot({ points, xName, yName, xBetter, yBetter, floor, groups, onPick }) {
  const yValues = points.map((point) => point.y);
  const nearFloor = floor !== null && floor > 0 && Math.min(...yValues) / floor < 12;
  const x = scaleOf(points.map((point) => point.x), ...xSpan);
  const y = scaleOf(nearFloor ? [...yValues, floor] : yValues, ...ySpan);
  const front = paretoFront(points, xBetter === "lower" ? 1 : -1, yBetter === "lower" ? 1 : -1);
  const isFront = new Set(front);
  const steps = front.map((point, i) => (i ? `H${x(point.x)}V${y(point.y)}` : `M${x(point.x)} ${y(point.y)}`)).join("");
  const crowd = groups.map((group, number) => {
    const spots = points.filter((point) => point.group === group && !isFront.has(point));
    const path = svg("path", { class: "crowd", d: spots.map((point) => `M${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}h0`).join("") });
    path.style.stroke = ink(number);
    return path;
  });
  const telling = (point) => `${point.name}: ${yName} ${short(point.y)}, ${xName} ${short(point.x)}${isFront.has(point) ? " (Pareto front)" : ""}`;
  const dots = front.map((point) => {
    const pick = (event) => { if (event.key === "Enter") onPick(point.row); };
    const dot = svg("circle", { cx: x(point.x), cy: y(point.y), r: front.length > 30 ? 3 : 5, class: "front", tabindex: 0, role: "button", "aria-label": telling(point), onkeydown: pick });
    dot.style.fill = ink(groups.indexOf(point.group));
    return dot;
  });
  const line = nearFloor ? [svg("line", { class: "floor", x1: FRAME.left, x2: FRAME.width - FRAME.right, y1: y(floor), y2: y(floor) }), svg("text", { class: "tick", x: FRAME.width - FRAME.right - 2, y: y(floor) - 4, "text-anchor": "end" }, "real images")] : [];
  return canvas(`${yName} against ${xName}`, axes(x, y, xName, yName), line, svg("path", { class: "pareto", d: steps }), crowd, dots, labels(front, x, y), pointer(points, x, y, telling, onPick));
}

// A thousand dots are one path for each family; the nearest to the pointer is found when it moves.
function pointer(points, x, y, telling, onPick) {
  const title = svg("title");
  const ring = svg("circle", { class: "near", r: 7, visibility: "hidden" });
  const area = svg("rect", { class: "area", x: FRAME.left, y: 0, width: FRAME.width - FRAME.left, height: FRAME.height - FRAME.bottom }, title);
  const nearest = (event) => {
    const box = area.ownerSVGElement.getBoundingClientRect();
    const unit = FRAME.width / box.width;
    const distance = (point) => Math.hypot(x(point.x) - (event.clientX - box.left) * unit, y(point.y) - (event.clientY - box.top) * unit);
    const point = points.reduce((near, other) => (distance(other) < distance(near) ? other : near));
    return distance(point) < 14 * unit ? point : null;
  };
  area.addEventListener("pointermove", (event) => {
    const point = nearest(event);
    fill(ring, { visibility: point ? "visible" : "hidden", ...(point ? { cx: x(point.x), cy: y(point.y) } : {}) }, []);
    area.classList.toggle("hit", Boolean(point));
    title.textContent = point ? telling(point) : "";
  });
  area.addEventListener("pointerleave", () => ring.setAttribute("visibility", "hidden"));
  area.addEventListener("click", (event) => {
    const point = nearest(event);
    if (point) onPick(point.row);
  });
  return [ring, area];
}

function labels(front, x, y) {
  if (front.length > 5) return [];
  const taken = [];
  return front.flatMap((point) => {
    const text = point.name.length > 22 ? `${point.name.slice(0, 21)}…` : point.name;
    const isRight = x(point.x) > FRAME.width * 0.62;
    const place = { x: x(point.x) + (isRight ? -8 : 8), y: y(point.y) - 7 };
    if (taken.some((other) => Math.abs(other.y - place.y) < 12 && Math.abs(other.x - place.x) < 130)) return [];
    taken.push(place);
    return [svg("text", { class: "label", "text-anchor": isRight ? "end" : "start", ...place }, text)];
  });
}

// curves: {name, x, y}; marks: {x, y, number, text} stand on their curve.
function curvePlot(curves, yName, marks = []) {
  const xs = [...curves.flatMap((curve) => curve.x), ...marks.map((mark) => mark.x)];
  const ys = [...curves.flatMap((curve) => curve.y), ...marks.map((mark) => mark.y)];
  const x = scaleOf([0, ...xs], ...xSpan);
  const y = scaleOf(ys, ...ySpan);
  const lines = curves.map((curve, number) => {
    const path = svg("path", { class: "curve", d: curve.x.map((value, i) => `${i ? "L" : "M"}${x(value)} ${y(curve.y[i])}`).join("") });
    const dots = curve.x.map((value, i) => svg("circle", { class: "point", cx: x(value), cy: y(curve.y[i]), r: curve.x.length > 30 ? 1.5 : 2.5 }, svg("title", {}, `${curve.name}: ${short(curve.y[i])} at ${short(value)} images`)));
    const group = svg("g", {}, path, dots);
    group.style.setProperty("--own", ink(curve.ink ?? number));
    return group;
  });
  const rings = marks.map((mark) => {
    const ring = svg("circle", { class: "ring", cx: x(mark.x), cy: y(mark.y), r: 5.5 }, svg("title", {}, mark.text));
    ring.style.setProperty("--own", ink(mark.number));
    return ring;
  });
  return canvas(`${yName} against images seen`, axes(x, y, "images seen", yName), lines, rings);
}

function swatch(number) {
  const patch = el("i");
  patch.style.background = ink(number);
  return patch;
}

const legend = (names) => el("div", { class: "legend" }, names.map((name, number) => el("span", {}, swatch(number), name)));
