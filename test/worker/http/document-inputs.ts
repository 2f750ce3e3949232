/** Inputs for document.test.ts: values that a schema may well allow, values at the edges of that, and values beside them. */
import type { Schema } from "@cfworker/json-schema";
import fc from "fast-check";

/** Texts at the edges of what some schema allows. */
const TEXTS = [
  ...[
    "",
    " ",
    "a",
    "Shop",
    "\0",
    "\x7f",
    "\x85",
    "\u200b",
    "\u2028a",
    "\u3164",
    "\u0301",
    "é",
    "日本",
    "💶",
    "\ud800",
    "a\udfff",
    "a\n",
    "a=b",
    "=b",
    "a=",
  ],
  ...[
    "0",
    "00",
    "1",
    "01",
    "-1",
    "+1",
    "1.0",
    "1e1",
    "1E+3",
    "0e5",
    "0.00",
    "0.001",
    "1.001",
    "99.99",
    "1.",
    ".5",
    "1e",
    "1e9999",
  ],
  ...[
    "100",
    "101",
    "0x10",
    "Infinity",
    "NaN",
    "999999999999.99",
    "1000000000000",
    "9007199254740991",
    "9007199254740992",
  ],
  ...["USD", "usd", "Usd", "AAA", "XXX", "XAU", "EURO", "US", "ſEK", "KWD"],
  ...[
    "2026-01-16",
    "2026-02-30",
    "2024-02-29",
    "2026-1-16",
    "2026-01-16T16:57:41Z",
    "2026-01-16t16:57:41z",
    "2126-01-16T16:57Z",
  ],
  ...[
    "2126-01-16T16:57:41.614159+05:30",
    "2026-01-16T24:00:00Z",
    "2026-01-16 16:57:41Z",
    "2026-01-16T16:57:41",
    "10000-01-01",
  ],
  ...[
    "evt_1_2",
    "evt_0_1",
    "evt_9999999999999999_1",
    "evt_10000000000000000_1",
    "EVT_1_1",
    "4fT9bQ2sXk7L",
    "4fT9bQ2sXk7",
    "4fT9bQ2sXk7-",
  ],
  ...['"1"', 'W/"1"', 'w/"1"', "*", '"a", "b"', '"a" "b"', ",", '"', '""', "W/", '"é"', "W/*", '*, "1"'],
  ...['"abc"', '"a b"', '"a\\"b"', '"a\\b"', 'a"b', "a b", '"abc', "order-42"],
  ...["pending", "Pending", "pending,failed", "payment.created", "payments:read", "admin", "true", "null"],
  ...["bmVlZGxl", "a+b/c=", "https://shop.example.com/webhooks", "http://shop.example.com", "https://10.0.0.1/"],
  ...[40, 41, 100, 101, 255, 256, 257, 500, 501, 512, 513, 2048, 2049].flatMap((length) => [
    "x".repeat(length),
    "💶".repeat(length),
  ]),
  ...[255, 256].flatMap((length) => [`"${"x".repeat(length)}"`, `"${'\\"'.repeat(length)}"`]),
];

/** What may well be allowed, by the name of a parameter or field. */
const TIMES = ["2026-01-16T16:57:41Z", "2026-01-16", "2126-01-16T16:57:41.614159+05:30", "2026-01-16t16:57:41z"];
const LIKELY: Readonly<Record<string, readonly string[]>> = {
  limit: ["1", "20", "100"],
  cursor: ["bmVlZGxl"],
  currency: ["USD", "usd", "jpY"],
  created_from: TIMES,
  created_to: TIMES,
  from: TIMES,
  to: TIMES,
  expires_at: TIMES,
  amount: ["10.00", "99.99", "1e1"],
  amount_min: ["0", "10.00"],
  amount_max: ["10.00", "0e5"],
  name: ["Shop", "💶"],
  url: ["https://shop.example.com/webhooks"],
  return_url: ["https://shop.example.com/orders/42"],
  metadata: ["a=b", "cart"],
  order_id: ["42"],
  payment_id: ["42"],
  merchant_id: ["42"],
  timeout: ["0", "1", "60"],
  "last-event-id": ["evt_4503599627370496_1"],
  "if-match": ['"1"', 'W/"1", "2"', "*"],
  "if-none-match": ['"1"', 'W/"1", "2"', "*"],
  "idempotency-key": ["order-42", '"abc"'],
};

/** Such, and the words that a schema names. */
export function likelyTexts(name: string, schema: Schema): string[] {
  const found: string[] = [...(LIKELY[name] ?? [])];
  JSON.stringify(schema, (key, value) => {
    if (key === "enum") found.push(...value.map(String));
    if (key === "example" && typeof value !== "object") found.push(String(value));
    return value;
  });
  return found.length > 0 ? found : ["a"];
}

const change = fc.tuple(
  fc.nat(),
  fc.constantFrom("", " ", "0", "9", "x", "Z", "=", '"', "\\", ",", ".", "-", "\0", "\x1f", "\n", "é", "💶"),
);

/** A text that may well be allowed, or one at an edge, or one beside it. */
export function text(likely: readonly string[]): fc.Arbitrary<string> {
  const start = fc.oneof(fc.constantFrom(...likely), fc.constantFrom(...TEXTS));
  return fc.tuple(start, fc.oneof(fc.constant([]), fc.array(change, { maxLength: 2 }))).map(([from, changes]) =>
    changes.reduce((result, [at, inserted]) => {
      const place = at % (result.length + 1);
      // Nothing to insert stands for a character that is missing.
      return result.slice(0, place) + inserted + result.slice(place + (inserted === "" ? 1 : 0));
    }, from),
  );
}

/** The texts of a parameter: mostly one. */
export function texts(name: string, schema: Schema): fc.Arbitrary<readonly string[]> {
  const likely = likelyTexts(name, schema);
  const several = fc.array(fc.constantFrom(...likely, "1"), { minLength: 2, maxLength: 7 });
  return fc.oneof(
    { weight: 8, arbitrary: text(likely).map((one) => [one.toWellFormed()]) },
    { weight: 1, arbitrary: several },
  );
}

/** What a parameter's texts stand for, as its schema sees them. */
export function readTexts(schema: Schema, given: readonly string[]): unknown {
  if (schema.type === "array") {
    const isList = /with commas between/.test(schema.description ?? "");
    return isList ? given.flatMap((item) => item.split(",")) : given;
  }
  const [single = ""] = given;
  if (given.length > 1) return given;
  return schema.type === "integer" && /^(0|-?[1-9]\d*)$/.test(single) ? Number(single) : single;
}

/** A value of a field, and how it is written; nothing of both where it is left out. */
export interface Value {
  readonly json: string | null;
  readonly value: unknown;
}

const NUMBERS = [
  ...["0", "1", "-1", "-0", "1.0", "4.2e1", "0.5", "1e3", "100", "604800", "604801", "99.99", "0.001", "1e300"],
  ...["9007199254740991", "9007199254740992", "9007199254740994", "999999999999.99", "1000000000000"],
];

export function values(name: string, schema: Schema): fc.Arbitrary<Value> {
  const likely = likelyTexts(name, schema);
  // The halves of surrogate pairs, which I-JSON forbids, are no schema's.
  const string = text(likely).map((one) => one.toWellFormed());
  const pairs = fc.dictionary(
    string,
    fc.oneof({ weight: 8, arbitrary: string }, { weight: 1, arbitrary: fc.integer() }),
    { maxKeys: 3 },
  );
  const manyPairs = fc
    .constantFrom(20, 21)
    .map((count) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`n${n}`, ""])));
  const repeated = fc.constantFrom(1, 100, 101).map((length) => Array(length).fill(likely[0]));
  const plain = fc.oneof(
    { weight: 6, arbitrary: string },
    { weight: schema.type === "boolean" ? 10 : 1, arbitrary: fc.boolean() },
    { weight: 1, arbitrary: fc.constantFrom<unknown>(null, [], {}) },
    {
      weight: schema.type === "array" ? 5 : 1,
      arbitrary: fc.array(fc.constantFrom(...likely), { minLength: 1, maxLength: 3 }),
    },
    { weight: 2, arbitrary: fc.array(fc.oneof(fc.constantFrom(...likely), string), { maxLength: 4 }) },
    { weight: 1, arbitrary: repeated },
    { weight: 2, arbitrary: pairs },
    { weight: 1, arbitrary: manyPairs },
  );
  return fc.oneof(
    { weight: 6, arbitrary: plain.map((value) => ({ json: JSON.stringify(value), value })) },
    { weight: 3, arbitrary: fc.constantFrom(...NUMBERS).map((json) => ({ json, value: JSON.parse(json) })) },
    { weight: 1, arbitrary: fc.constant({ json: null, value: undefined }) },
  );
}
