import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { inexactText, parseJson } from "../../../src/http/exact-json";

describe("parseJson", () => {
  it("agrees with JSON.parse on whatever a program writes", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(0, 2), (value, space) => {
        const text = JSON.stringify(value, null, space);
        expect(parseJson(text)).toEqual({ ok: true, value: JSON.parse(text) });
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ["10", 10],
    ["10.00", 10],
    ["1e1", 10],
    ["1E+1", 10],
    ["-0", -0],
    ["0.0e-7", 0],
    ["99.99", 99.99],
    ["99.9900000000000000000000000000000", 99.99],
    ["9007199254740991", 9007199254740991],
    ["9007199254740992", 9007199254740992],
    ["100000000000000000000000", 1e23],
    ["0.000000000000000000000000125", 1.25e-25],
    ["5e-324", 5e-324],
    ["1.7976931348623157e308", 1.7976931348623157e308],
  ])("reads %s as the number that it is", (text, value) => {
    expect(parseJson(text)).toEqual({ ok: true, value });
  });

  it("reads the shortest text of every double", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(parseJson(String(value))).toEqual({ ok: true, value: Number(String(value)) });
      }),
    );
  });

  it.each([
    "4503599627370497.3",
    "99.990000000000000001",
    "9007199254740993",
    "-9007199254740993",
    "0.1000000000000000055511151231257827",
    "1.0000000000000001",
    "1e309",
    "-1e309",
    "1e-400",
    "1e99999999999999999999",
  ])("keeps %s as its text, at any depth, and the numbers beside it as numbers", (text) => {
    const alone = parseJson(text);
    expect(alone.ok && inexactText(alone.value)).toBe(text);
    const read = parseJson(`{"a": [1, ${text} , "${text}"], "b":2.5}`);
    const value = read.ok && read.value;
    expect(value).toEqual({ a: [1, expect.anything(), text], b: 2.5 });
    expect(inexactText((value as { a: unknown[] }).a[1])).toBe(text);
  });

  it.each([
    ['{"a":1,"a":2}', "a"],
    ['{"a":1,"a":1}', "a"],
    ['{"a":{},"b":[{"c":"x", "c" : "x"}]}', "c"],
    [String.raw`{"amount":1,"\u0061mount":1}`, "amount"],
    ['{"":null,"":null}', ""],
    ['{"__proto__":1,"__proto__":1}', "__proto__"],
    [String.raw`{"\"":1,"\u0022":1}`, '"'],
  ])("refuses %s, whose name stands twice", (text, name) => {
    expect(parseJson(text)).toEqual({
      ok: false,
      detail: `The request body has the name ${JSON.stringify(name)} twice in one object`,
    });
  });

  it.each([
    '{"a":{"a":1},"b":{"a":1}}',
    '[{"a":1},{"a":1}]',
    '{"a":"a","b":"a"}',
    String.raw`{"a":"\\","b":"\"a\":","c":"{\"a\":1"}`,
    '{"__proto__":{"__proto__":1}}',
    '{"A":1,"a":1}',
  ])("takes %s, where no object has a name twice", (text) => {
    expect(parseJson(text)).toEqual({ ok: true, value: JSON.parse(text) });
  });

  it("shows no more than 100 characters of a name that stands twice", () => {
    const name = "n".repeat(101);
    expect(parseJson(`{"${name}":1,"${name}":1}`)).toEqual({
      ok: false,
      detail: `The request body has the name "${"n".repeat(100)}" twice in one object`,
    });
  });

  it("counts how deep things lie, not how many there are", () => {
    for (const one of ["{}", "[]", '{"a":[{}]}']) {
      const text = `[${Array(500).fill(one).join(",")}]`;
      expect(parseJson(text)).toEqual({ ok: true, value: JSON.parse(text) });
    }
  });

  it("reads a negative zero of many digits as the number that it is", () => {
    expect(parseJson("-0.00000000000000000")).toEqual({ ok: true, value: -0 });
  });

  it.each([null, undefined, "x", 1, {}, { description: "x" }])("takes %j for no number's text", (value) => {
    expect(inexactText(value)).toBeNull();
  });

  it("keeps a name that is __proto__ a plain name, also beside an inexact number", () => {
    const read = parseJson('{"__proto__":{"x":1},"n":1e999}');
    expect(read.ok && Object.keys(read.value as object)).toEqual(["__proto__", "n"]);
  });

  // No body of the API needs more than three levels.
  it.each([
    ["[", "]"],
    ['{"a":', "}"],
  ])("takes 100 levels of %s, and no more", (opening, closing) => {
    const nested = (levels: number) => opening.repeat(levels) + (opening === "[" ? "" : "1") + closing.repeat(levels);
    expect(parseJson(nested(100)).ok).toBe(true);
    const refused = { ok: false, detail: "The request body is nested deeper than 100 levels" };
    expect(parseJson(nested(101))).toEqual(refused);
    expect(parseJson(nested(10_000))).toEqual(refused);
  });

  it.each(["", "{", "{}{}", "[1,]", '{"a":1,}', "01", "+1", ".5", "1.", "NaN", "'a'", '"\t"', "\ufeff{}", "// x"])(
    "refuses %j, which is no JSON",
    (text) => {
      expect(parseJson(text)).toEqual({ ok: false, detail: "The request body is not valid JSON" });
    },
  );
});
