import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectedVersions, isAmong, readTags, TAGS_PATTERN } from "../../../src/http/etag";
import { processorMs } from "../processor-time";

const tag = (text: string, weak = false) => ({ weak, tag: `"${text}"` });

describe("readTags", () => {
  it.each([
    ['"1"', [tag("1")]],
    ['W/"1"', [tag("1", true)]],
    ['""', [tag("")]],
    ['"1","2"', [tag("1"), tag("2")]],
    [' "1" ,\tW/"2"\t', [tag("1"), tag("2", true)]],
    ['"a,b", "W/"', [tag("a,b"), tag("W/")]],
    ['"!#~\x80\xff"', [tag("!#~\x80\xff")]],
    // A byte that is not UTF-8, and text that is.
    ['"\ufffd", "€💶"', [tag("\ufffd"), tag("€💶")]],
    // RFC 9110, section 5.6.1.2: empty elements of a list are passed over.
    [',"1",, ,"2",', [tag("1"), tag("2")]],
    ["*", "any"],
    [" * ", "any"],
  ])("reads %j", (value, expected) => {
    expect(readTags(value)).toEqual(expected);
    expect(value, "the document's pattern").toMatch(new RegExp(TAGS_PATTERN));
  });

  it.each([
    ...[
      "",
      " ",
      ",",
      ", ,",
      "1",
      '"',
      '"1',
      '1"',
      '"1"2',
      '"1""2"',
      '"1" "2"',
      'w/"1"',
      "W/",
      "W/1",
      'W "1"',
      'W/ "1"',
    ],
    ...["**", "*,*", '*, "1"', '"1", *', '"a b"', '"a\tb"', '"a\x7f"', '"\0"', '"1"\n', "'1'", '"1";"2"'],
  ])("refuses %j", (value) => {
    expect(readTags(value)).toBeNull();
    expect(value, "the document's pattern").not.toMatch(new RegExp(TAGS_PATTERN));
  });

  it("reads what is written", () => {
    const text = fc.string({
      unit: fc.constantFrom("a", "1", ",", "*", "W", "/", "!", "\xe9", "'", "\\"),
      maxLength: 6,
    });
    const tags = fc.array(fc.record({ weak: fc.boolean(), tag: text.map((inner) => `"${inner}"`) }), { minLength: 1 });
    const comma = fc.constantFrom(",", ", ", " ,\t", ", ,");
    fc.assert(
      fc.property(tags, comma, (written, between) => {
        expect(readTags(written.map(({ weak, tag }) => (weak ? "W/" : "") + tag).join(between))).toEqual(written);
      }),
    );
  });

  it.each([
    ["tags", (n: number) => '"1",'.repeat(n)],
    ["tags, then what is none", (n: number) => `${'W/"1", '.repeat(n)}x`],
    ["commas", (n: number) => ",".repeat(n)],
    ["commas and blanks", (n: number) => `"1"${" , ".repeat(n)}x`],
    ["blanks", (n: number) => `"1"${" ".repeat(n)}x`],
    ["blanks in front", (n: number) => `${" \t".repeat(n)}x`],
    ["one open tag", (n: number) => `"${"a".repeat(n)}`],
    ["quotes", (n: number) => '"'.repeat(n + (n % 2) + 1)],
    ["weak marks", (n: number) => "W/".repeat(n)],
  ])("takes no more than its share of time for %s", (_, make) => {
    const time = (n: number) => {
      const value = make(n);
      return processorMs(() => readTags(value));
    };
    time(1_000);
    // Some milliseconds; a square of it would be minutes. The service takes 8 KiB of a header.
    expect(time(100_000)).toBeLessThan(2_000);
  });
});

describe("isAmong", () => {
  it("compares weakly", () => {
    expect(isAmong("any", '"1"')).toBe(true);
    expect(isAmong([tag("1", true)], '"1"')).toBe(true);
    expect(isAmong([tag("2"), tag("1")], '"1"')).toBe(true);
    expect(isAmong([tag("2"), tag("11")], '"1"')).toBe(false);
    expect(isAmong([], '"1"')).toBe(false);
  });
});

describe("expectedVersions", () => {
  it("has the versions of tags, weak ones too, and none of what is no version", () => {
    expect(expectedVersions("any")).toBeNull();
    expect(expectedVersions([tag("1"), tag("23"), tag("4", true)])).toEqual([1, 23, 4]);
    const none = [tag("x", true), tag(""), tag("0"), tag("01"), tag("1.0"), tag("-1"), tag("x"), tag("9".repeat(400))];
    expect(expectedVersions(none)).toEqual([]);
  });
});
