import { describe, expect, it } from "vitest";
import { holdsCardNumber } from "../../../src/payment/card-number";
import { processorMs } from "../processor-time";

/** Numbers that the brands and their processors publish for tests, and numbers made by hand for lengths that have none. */
const NUMBERS: readonly (readonly [brand: string, number: string])[] = [
  ["Visa", "4111111111111111"],
  ["Visa", "4242424242424242"],
  ["Visa of 19 digits", "4000000000000000006"],
  ["Mastercard", "5555555555554444"],
  ["Mastercard", "5105105105105100"],
  ["Mastercard of the range with 2", "2223003122003222"],
  ["American Express", "378282246310005"],
  ["American Express", "341111111111111"],
  ["Discover", "6011111111111117"],
  ["Discover", "6500000000000002"],
  ["Diners Club of 14 digits", "36227206271667"],
  ["Diners Club", "30569309025904"],
  ["Diners Club of 16 digits", "3056930009020004"],
  ["JCB", "3566002020360505"],
  ["UnionPay", "6200000000000005"],
  ["UnionPay of 19 digits", "6205500000000000004"],
  ["Maestro", "6759649826438453"],
  ["Maestro of 12 digits", "501800000009"],
  ["Mir", "2200000000000004"],
  ["RuPay", "6070000000000002"],
];

/** The digit that makes a number one with the right check digit. */
function withCheckDigit(digits: string): string {
  const sums = [...digits].reverse().map((digit, index) => {
    const value = Number(digit) * (index % 2 === 0 ? 2 : 1);
    return Math.trunc(value / 10) + (value % 10);
  });
  return `${digits}${(10 - (sums.reduce((a, b) => a + b, 0) % 10)) % 10}`;
}

describe("a card number", () => {
  it.each(NUMBERS)("of %s is found: %s", (_, number) => {
    expect(withCheckDigit(number.slice(0, -1)), "the number of the test").toBe(number);
    expect(holdsCardNumber(number)).toBe(true);
  });

  it.each([
    ["with spaces", "4111 1111 1111 1111"],
    ["with dashes", "4111-1111-1111-1111"],
    ["with spaces around dashes", "4111 - 1111 - 1111 - 1111"],
    ["with en dashes and no-break spaces", "4111–1111\u00a01111–1111"],
    ["in its brand's groups", "3782 822463 10005"],
    ["digit by digit, far apart", [..."4111111111111111"].join("   ")],
    ["digit by digit", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"],
    ["on two lines", "4111 1111\n1111 1111"],
    ["in full-width digits", "４１１１１１１１１１１１１１１１"],
    ["in Arabic-Indic digits", "٤١١١١١١١١١١١١١١١"],
    ["in extended Arabic-Indic digits, in groups", "۴۱۱۱ ۱۱۱۱ ۱۱۱۱ ۱۱۱۱"],
    ["in Devanagari digits", "४१११११११११११११११"],
    ["in digits beyond the basic plane", "𑁪𑁧𑁧𑁧𑁧𑁧𑁧𑁧𑁧𑁧𑁧𑁧𑁧𑁧𑁧𑁧"],
    ["in digits of two scripts", "4111 1111 ١١١١ ١١١١"],
    ["in Arabic-Indic digits, with dots", "٤١١١.١١١١.١١١١.١١١١"],
    ["with dots", "4111.1111.1111.1111"],
    ["with underscores", "4111_1111_1111_1111"],
    ["with slashes", "4111/1111/1111/1111"],
    ["with backslashes", "4111\\1111\\1111\\1111"],
    ["with middle dots", "4111·1111·1111·1111"],
    ["with full-width stops", "4111．1111．1111．1111"],
    ["with spaces around slashes", "4111 / 1111 / 1111 / 1111"],
    ["with a dot, a slash and an underscore", "4111.1111/1111_1111"],
    ["in its brand's groups, with dots", "3782.822463.10005"],
    ["in Diners Club's groups, with slashes", "3622/720627/1667"],
    ["of 19 digits, with dots", "4000.0000.0000.0000.006"],
    ["with dots, beside its end and its code", "4111.1111.1111.1111/12/27 123"],
    ["with underscores, in a name", "card_4111_1111_1111_1111_test"],
    ["with slashes, after another number", "Order 42/4111/1111/1111/1111"],
    ["with dots, at the end of a sentence", "It was PAN4111.1111.1111.1111."],
    ["in a sentence", "Paid by card 4111 1111 1111 1111, thanks"],
    ["beside its end and its code", "4111111111111111 12/27 123"],
    ["beside its end, with a dash", "4111111111111111 12-27"],
    ["after another number", "Order 42 4111 1111 1111 1111"],
    ["after a word", "PAN4111111111111111"],
    ["before a word", "4111111111111111EUR"],
    ["in a name", "card_4111111111111111"],
    ["in groups after a word and before one", "PAN4111 1111 1111 1111EUR"],
    ["beside a UUID", "3f0e8d7c-4111-4111-9111-411111111111 4111111111111111"],
    ["after what mixes letters and digits", "a1b2 4111 1111 1111 1111"],
    ["in JSON", '{"pan":"4111111111111111"}'],
    ["as the second of two", "1234567890123456, 4111111111111111"],
    ["at the end of the longest value", `${"1 ".repeat(200)}4111111111111111`],
  ])("is found %s", (_, text) => {
    expect(holdsCardNumber(text)).toBe(true);
  });
});

describe("a brand's range", () => {
  // From the pages of the brands, each range with its first and last prefix and the shortest length of its numbers.
  it.each([
    ["Mastercard", "51", "55", 16],
    ["Mastercard", "2221", "2720", 16],
    ["Discover", "644", "649", 16],
    ["Diners Club", "3095", "3095", 14],
    ["Diners Club", "300", "305", 14],
    ["Diners Club", "38", "39", 14],
    ["JCB", "3528", "3589", 16],
    ["Maestro", "6304", "6304", 12],
    ["Maestro", "6761", "6763", 12],
    ["Mir", "2200", "2204", 16],
    ["RuPay", "508500", "508999", 16],
    ["RuPay", "606985", "607984", 16],
    ["RuPay", "608001", "608500", 16],
    ["RuPay", "817200", "820199", 16],
  ])("of %s has its first prefix and its last: %s to %s", (_, from, to, length) => {
    for (const prefix of [from, to]) {
      expect(holdsCardNumber(withCheckDigit(prefix.padEnd(length - 1, "0"))), prefix).toBe(true);
    }
  });
});

describe("what is no card number", () => {
  it.each(NUMBERS)("is one of %s with any other last digit: %s", (_, number) => {
    const end = Number(number.at(-1));
    for (let digit = 0; digit < 10; digit++) {
      const other = `${number.slice(0, -1)}${digit}`;
      if (digit !== end) expect(holdsCardNumber(other), other).toBe(false);
    }
  });

  it.each([
    ["Visa of 13 digits, as none are issued", "4222222222222"],
    ["Visa, a digit short", withCheckDigit("41111111111111")],
    ["Visa, a digit long", withCheckDigit("4111111111111111")],
    ["Mastercard below its first range", withCheckDigit("500000000000000")],
    ["Mastercard beyond its first range", withCheckDigit("560000000000000")],
    ["Mastercard below its second range", withCheckDigit("222000000000000")],
    ["Mastercard beyond its second range", withCheckDigit("272100000000000")],
    ["Mastercard, a digit long", withCheckDigit("5555555555554444")],
    ["American Express, a digit long", withCheckDigit("378282246310000")],
    ["American Express, of a prefix between its own", withCheckDigit("35000000000000")],
    ["Discover below its range", withCheckDigit("643000000000000")],
    ["JCB below its range", withCheckDigit("352700000000000")],
    ["JCB beyond its range", withCheckDigit("359000000000000")],
    ["Maestro, a digit short", withCheckDigit("5018000000")],
    ["Mir beyond its range", withCheckDigit("220500000000000")],
    ["an industry that issues no cards", withCheckDigit("100000000000000")],
    ["zeros alone", "0000000000000000"],
  ])("is %s", (_, text) => {
    expect(holdsCardNumber(text)).toBe(false);
  });

  it.each([
    ["empty", ""],
    ["a name", "cart"],
    ["part of a longer number", "94111111111111111"],
    ["part of a longer number, at its beginning", "41111111111111119999"],
    ["two halves with a slash between", "41111111/11111111"],
    ["two halves far apart", "41111111    11111111"],
    ["two halves with a dot between", "41111111.11111111"],
    ["quarters with two dots between", "4111..1111..1111..1111"],
    ["quarters with a UUID among them", "4111 3f0e8d7c-4111-4111-9111-411111111111 1111.1111.1111"],
    ["part of a longer number with dots, at its beginning", "4111.1111.1111.1111.1111"],
    ["part of a longer number with dots, at its end", "1111.4111.1111.1111.1111"],
    ["part of a longer number with slashes, in its middle", "94111/1111/1111/1111"],
    ["with dots and a wrong check digit", "4111.1111.1111.1112"],
    ["with slashes, of no issuer", `1000/0000/0000/${withCheckDigit("100000000000000").slice(-4)}`],
    // Each would be a number with the right check digit, were its dots left out.
    ["an amount in euros", "4.111.111.111.111.111,00"],
    ["a number with underscores between thousands", "4_111_111_111_111_111"],
    ["a dotted object identifier", "4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1"],
    ["an IP address", "501.800.000.009"],
    ["two IP addresses", "41.111.111.111/11.111.11.11"],
    ["two dates", "41/11/1111 11/11/1111"],
    ["a date with a time", "4111/11/11 11:11:11.1111"],
    ["a version with its build", "4.11.1111.11111.1111"],
    ["an ISBN", "978-3-16-148410-0"],
    ["an ISBN with dots", "978.3.16.148410.0"],
    ["a UUID with underscores", "41111111_1111_4111_8111_111111111111"],
    ["an IPv6 address", "4111:1111:1111:1111::1"],
    ["a telephone number", "+49 151 23456789"],
    ["a time", "2026-11-25T12:34:56.789Z"],
    ["a time in microseconds", "1764074096789000"],
    ["a UUID", "3f0e8d7c-4111-4111-9111-411111111111"],
    ["a UUID, of digits alone", "41111111-1111-4111-8111-111111111111"],
    ["a UUID whose groups would be one", "41111111-1111-1111-8111-111111111111"],
    ["two halves with a UUID between", "41111111 3f0e8d7c-4111-4111-9111-411111111111 11111111"],
    ["a hash", "9f86d0814111111111111111a2feaa0c55ad015a"],
    ["a payment token", "pm_1MtwBwLkdIwHu7ix28a3tqPa"],
    ["an IBAN", "DE89 3704 0044 0532 0130 00"],
    ["a masked card number", "4111 11** **** 1111"],
    ["the last four digits", "1111"],
  ])("is a text that is %s", (_, text) => {
    expect(holdsCardNumber(text)).toBe(false);
  });

  it("is nearly every number of 16 digits, and nearly every identifier", () => {
    // Always the same ones, so that the shares below are no matter of chance.
    let state = 1;
    const random = (below: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.trunc((state / 2 ** 32) * below);
    };
    const text = (pattern: string) =>
      pattern.replace(/[9fz]/g, (kind) => random({ 9: 10, f: 16, z: 36 }[kind] ?? 10).toString(36));
    const share = (pattern: string, tries: number) => {
      let found = 0;
      for (let index = 0; index < tries; index++) if (holdsCardNumber(text(pattern))) found++;
      return found / tries;
    };
    // The check digit is right in one of ten, and the beginning in 28 of a hundred.
    const numbers = share("9999999999999999", 20_000);
    expect(numbers).toBeGreaterThan(0.02);
    expect(numbers).toBeLessThan(0.03);
    // What shops call their orders and carts by: none, but for a hash of which a whole word is digits.
    for (const pattern of ["ffffffff-ffff-4fff-9fff-ffffffffffff", "ORD-2026-9999999", "zzzzzzzzzzzzzzzzzzzzzzzz"]) {
      expect(share(pattern, 10_000), pattern).toBe(0);
    }
    expect(share("f".repeat(64), 10_000)).toBe(0);
    // As many digits as cards have, in other groups than theirs.
    for (const pattern of [
      "999.999.999.999",
      "99/99/9999 99.99.9999",
      "9999.99.99.99999999",
      "999.9.99.999999.9",
      "9.999.999.999.999.999",
    ]) {
      expect(share(pattern, 10_000), pattern).toBe(0);
    }
  });

  it("is found to be none in the time that a request has, in the longest text of a body", () => {
    const texts = ["4 ".repeat(32_000), "4".repeat(64_000), "4111 1111 1111 1112 ".repeat(3_200)];
    texts.push("4111.".repeat(12_800), "4111.1111.1111.1112,".repeat(3_200), "٤".repeat(64_000), "4 . ".repeat(16_000));
    const took = processorMs(() => {
      for (const text of texts) expect(holdsCardNumber(text)).toBe(false);
    });
    expect(took).toBeLessThan(2_000);
  });
});
