// Writes tokenizer_cases.json: small tokenizers with random components, and what Hugging Face tokenizers makes of random
// texts and ids with them. src/text/tokenizer/reference_test.cpp replays it.
//   npm install tokenizers@0.23.2
//   node make_tokenizer_cases.mjs ../../models/mini-qwen3_moe-mlx-4bit/tokenizer.json GEMMA > tokenizer_cases.json
// where GEMMA is the tokenizer.json of a SentencePiece-style tokenizer with byte fallback (mini-gemma4's). Only a few hundred
// tokens of each are kept. The choices are random but seeded; cases that the reference itself cannot run (it aborts on a
// Strip of an empty token, and the ids of duplicate patterns depend on its hash order) are left out by construction.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
const { Tokenizer } = createRequire(process.cwd() + "/")("tokenizers");

let state = 20240607;
const random = () => {  // mulberry32
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];
const chance = (p) => random() < p;
const repeat = (n, make) => Array.from({ length: n }, make);

// The first merges of a tokenizer, and the tokens they need.
function reduced(path, mergeCount, keep) {
  const json = JSON.parse(readFileSync(path, "utf8"));
  const merges = json.model.merges.filter((m) => !m.join("").includes("\n")).slice(0, mergeCount);
  const tokens = new Set(keep(Object.keys(json.model.vocab)));
  for (const [a, b] of merges) [a, b, a + b].forEach((t) => tokens.add(t));
  const vocab = {};
  for (const t of tokens) vocab[t] = Object.keys(vocab).length;
  const special = (content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true });
  const added = ["<bos>", "<unk>"].map((t) => {
    if (!(t in vocab)) vocab[t] = Object.keys(vocab).length;
    return special(t, vocab[t]);
  });
  return { ...json, added_tokens: added, model: { ...json.model, vocab, merges } };
}
const isByte = (t) => /^<0x[0-9A-F]{2}>$/.test(t);
const bases = {
  byte: reduced(process.argv[2], 250, (all) => all.filter((t) => [...t].length === 1)),
  char: reduced(process.argv[3], 250, (all) => all.filter((t) => isByte(t) || /^[ -~▁éèñ]$/.test(t))),
};

const REGEXES = ["\\s+", "\\p{L}+", "[aeiou]", "\\d{2}", "(?i:the|an)", "[^\\S\\n]+", "\\w+", "\\b", "o(?!u)", "(?<=a)b",
  "[[:punct:]]", "[a-f&&[^cd]]+", "[\\p{L}&&[^\\p{Han}]]+", "\\h+", "(?m).+", "^a|e$", " ?\\S", "x*", "\\p{Han}+|\\p{Latin}",
  "(?i)É|ß", "[^a-z\\s]", "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", "(?>a+)b|a", "[\\W_]+", "\\S{1,3}", "\\p{^L}+", "[\\D\\s]", "a{,2}b",
  "a{2}+", "(?:ab|a)(c|b)?", "[-a]", "\\x{e9}|\\u00e8", "a(?i)b|c", "[[a-c][x-z]]+", "[^[:alpha:]\\d]", "\\p{Punct}+", "\\B."];
const pattern = () => (chance(0.4) ? { String: pick([" ", "a", "e", "▁", "the", "\n", "--", ", ", "é"]) } : { Regex: pick(REGEXES) });
const BEHAVIORS = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"];

const normalizer = (depth = 0) => pick([
  () => ({ type: pick(["NFC", "NFD", "NFKC", "NFKD"]) }),
  () => ({ type: pick(["Lowercase", "StripAccents"]) }),
  () => ({ type: "Strip", strip_left: chance(0.5), strip_right: chance(0.5) }),
  () => ({ type: "Prepend", prepend: pick(["▁", " ", "a"]) }),
  () => ({ type: "Replace", pattern: pattern(), content: pick(["▁", " ", "", "xy"]) }),
  () => ({ type: "Sequence", normalizers: depth < 2 ? repeat(below(4), () => normalizer(depth + 1)) : [] }),
])();
const preTokenizer = (depth = 0) => pick([
  () => ({ type: "Split", pattern: pattern(), behavior: pick(BEHAVIORS), invert: chance(0.3) }),
  () => ({ type: "Split", pattern: pattern(), behavior: pick(BEHAVIORS), invert: chance(0.3) }),
  () => ({ type: "Digits", individual_digits: chance(0.5) }),
  () => ({ type: pick(["Whitespace", "WhitespaceSplit"]) }),
  () => ({ type: "Punctuation", behavior: pick(BEHAVIORS) }),
  () => ({ type: "Metaspace", replacement: "▁", prepend_scheme: pick(["always", "never"]), split: chance(0.5) }),
  () => ({ type: "Sequence", pretokenizers: depth < 2 ? repeat(below(4), () => preTokenizer(depth + 1)) : [] }),
])();
const byteLevel = (prefix, regex) => ({ type: "ByteLevel", add_prefix_space: prefix, trim_offsets: true, use_regex: regex });
const replace = (from, to) => ({ type: "Replace", pattern: from, content: to });
const beforeFuse = () => pick([
  () => ({ type: "ByteFallback" }),
  () => ({ type: "Strip", content: pick([" ", "a"]), start: below(3), stop: 0 }),
  () => replace(pick([{ String: "▁" }, { String: "the" }, { Regex: "[aeiou]+" }]), pick([" ", "", "q"])),
  () => ({ type: "Metaspace", replacement: "▁", prepend_scheme: pick(["always", "first", "never"]), split: true }),
])();
const afterFuse = () => pick([
  () => ({ type: "Strip", content: pick([" ", "a"]), start: below(3), stop: 0 }),
  () => replace(pick([{ String: "▁" }, { String: "the" }, { String: "aa" }, { String: "aab" }, { Regex: "[aeiou]+" }]), pick([" ", "", "q"])),
])();
const charDecoder = () => ({
  type: "Sequence",
  decoders: [...repeat(below(3), beforeFuse), ...(chance(0.6) ? [{ type: "Fuse" }, ...repeat(below(3), afterFuse)] : [])],
});

const ADDED = ["<a>", "<b>", "[X]", "foo", "fo", "o<", "éa", "<a><", "ab", "a b"];
function patch(base) {
  const json = bases[base];
  const p = { normalizer: chance(0.4) ? null : normalizer(), model: { ignore_merges: chance(0.3) } };
  if (base === "byte") {
    const steps = [...repeat(below(3), preTokenizer), byteLevel(chance(0.4), chance(0.5))];
    p.pre_tokenizer = { type: "Sequence", pretokenizers: steps };
    p.decoder = pick([byteLevel(false, true), byteLevel(false, true), null,
      { type: "Sequence", decoders: [byteLevel(false, true), ...repeat(2, afterFuse)] }]);
  } else {
    p.pre_tokenizer = chance(0.4) ? null : preTokenizer();
    p.decoder = pick([json.decoder, charDecoder(), charDecoder(),
      { type: "Sequence", decoders: [replace({ String: "▁" }, " "), { type: "ByteFallback" }, { type: "Fuse" }, { type: "Strip", content: " ", start: 1, stop: 0 }] }]);
    Object.assign(p.model, { fuse_unk: chance(0.5), byte_fallback: chance(0.6), unk_token: chance(0.8) ? "<unk>" : null });
  }
  const template = { type: "TemplateProcessing", single: [{ SpecialToken: { id: "<bos>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: { "<bos>": { id: "<bos>", ids: [json.model.vocab["<bos>"]], tokens: ["<bos>"] } } };
  p.post_processor = pick([template, byteLevel(true, true), null, { type: "Sequence", processors: [byteLevel(true, true), template] }]);
  let next = Object.keys(json.model.vocab).length;
  p.added_tokens = [...json.added_tokens];
  for (const content of ADDED.filter(() => chance(0.35))) {
    const id = json.model.vocab[content] ?? next++;
    p.added_tokens.push({ id, content, single_word: chance(0.2), lstrip: chance(0.2), rstrip: chance(0.2), normalized: p.normalizer === null && chance(0.4), special: chance(0.5) });
  }
  return p;
}

const CHARS = [
  [50, () => pick([..."etaoinbcdfx"])], [15, () => " "], [5, () => pick(["\n", "\r\n", "\t", "  ", "\u3000", "\u00a0", "\u2028", "\u180e"])],
  [5, () => pick([..."0123456789²½"])], [7, () => pick([..."'\"!?.,;:-_()[]{}<>/#$+="])], [4, () => pick(["the", "The", "an", "--", ", ", "abc", "aab", "don't"])],
  [4, () => pick([..."éèüößñçÉÅİıſKﬁ①"])], [2, () => pick(["\u0301", "\u0327", "\u0323", "\u0345"])], [2, () => String.fromCodePoint(0x4e00 + below(0x51a5))],
  [1, () => String.fromCodePoint(0xac00 + below(0x2ba3)) + String.fromCodePoint(0x1100 + below(0x12))], [1, () => pick(["😀", "👩‍🚀", "🇫🇷"])], [1, () => "▁"],
  [6, () => pick(ADDED)],
];
const TOTAL = CHARS.reduce((sum, [weight]) => sum + weight, 0);
const character = () => {
  let roll = below(TOTAL);
  for (const [weight, make] of CHARS) if ((roll -= weight) < 0) return make();
};
const text = () => repeat(pick([0, 1, 2, 3, 5, 10, 20, 40]), character).join("");

const cases = [];
for (let i = 0; i < 120; ++i) {
  const base = chance(0.5) ? "byte" : "char";
  const p = patch(base);
  const json = { ...bases[base], ...p, model: { ...bases[base].model, ...p.model } };
  const tokenizer = Tokenizer.fromString(JSON.stringify(json));
  const idLimit = Math.max(...p.added_tokens.map((t) => t.id), Object.keys(json.model.vocab).length - 1) + 3;
  const one = { base, ...p, encode: [], decode: [] };
  for (const t of repeat(12, text)) {
    const special = chance(0.3);
    one.encode.push([t, special, (await tokenizer.encode(t, null, { addSpecialTokens: special })).getIds()]);
  }
  for (let k = 0; k < 12; ++k) {
    const ids = repeat(pick([0, 1, 2, 3, 5, 10, 20]), () => below(chance(0.5) ? 300 : idLimit));
    const skip = chance(0.5);
    one.decode.push([ids, skip, await tokenizer.decode(ids, skip)]);
  }
  cases.push(one);
}
const provenance = "Hugging Face tokenizers 0.23.2 (npm), tests/data/make_tokenizer_cases.mjs, seed 20240607";
console.log(JSON.stringify({ provenance, bases, cases: [] }).slice(0, -3) + "[\n" + cases.map((c) => JSON.stringify(c)).join(",\n") + "\n]}");
