// Which of two rows is better: told when the page was built, in the words of `leaderboard --compare`. A is the row with the lower number.

function verdictSection(ids) {
  const pairs = ids.flatMap((a, place) => ids.slice(place + 1).map((b) => pairVerdict(a, b, ids)));
  const remark = `${DATA.verdicts.brackets} A verdict on two runs is about these two; another training seed may turn their order round.`;
  const isTold = ids.some((a) => ids.some((b) => (DATA.verdicts.pairs[a] || {})[b]));
  return section("Which is better", el("div", { class: "verdicts" }, pairs), isTold ? el("p", { class: "quiet" }, remark) : null);
}

function pairVerdict(a, b, ids) {
  const side = (letter, id) => el("span", {}, swatch(ids.indexOf(id)), `${letter}: ${nameOf(DATA.rows[id])}, ${DATA.rows[id].run}`);
  const told = (DATA.verdicts.pairs[a] || {})[b];
  const words = told ? verdictTable(told) : untold(a, b);
  return el("div", { class: "verdict" }, el("p", { class: "legend" }, side("A", a), side("B", b)), words, recipeVerdict(DATA.rows[a].recipe, DATA.rows[b].recipe));
}

function verdictTable([lines, notes]) {
  const text = DATA.verdicts.words;
  const ids = lines.map(([id]) => id);
  const cells = lines.map(([id, answer, difference, method]) => el("tr", { "data-score": columnName(id) },
    el("th", { scope: "row" }, labelIn(ids, id)), el("td", { class: text[answer] === "cannot tell" ? "quiet" : "answer" }, text[answer]), el("td", { class: "difference" }, difference), el("td", { class: "quiet" }, text[method])));
  const heads = ["score", "verdict", "A - B", "by"].map((name) => el("th", {}, name));
  return [
    el("div", { class: "fit" }, el("table", { class: "plain-table" }, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, cells))),
    notes.length ? el("ul", { class: "words quiet" }, notes.map((note) => el("li", {}, text[note]))) : null,
  ];
}

function untold(a, b) {
  const [left, right] = [a, b].map((id) => new Set(Object.values(DATA.rows[id].scores).flatMap((scores) => Object.keys(scores))));
  if (![...left].some((id) => right.has(id))) return el("p", { class: "quiet" }, "They have no score under one protocol.");
  const files = [a, b].map((id) => DATA.rows[id].file);
  const reason = `This page cannot tell: it holds the verdicts on the ${DATA.verdicts.rows} best-ranked of its ${DATA.rows.length} rows.`;
  if (files.includes(null)) return el("p", { class: "quiet" }, `${reason} Nor can a command, since not both records are files.`);
  return [el("p", { class: "quiet" }, `${reason} This command can:`), copyable([DATA.verdicts.command, ...files].join(" "))];
}

// Of two recipes with several training seeds each.
function recipeVerdict(a, b) {
  const told = (DATA.verdicts.recipes[a] || {})[b];
  return told ? [el("p", { class: "quiet" }, "Their recipes, over all training seeds of each:"), verdictTable(told)] : null;
}
