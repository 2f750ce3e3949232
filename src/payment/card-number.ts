/**
 * Whether a text holds what looks like a card number, so that nobody's card data end up in a field that is stored in clear.
 * Pure.
 */

/** A brand's numbers: they begin within one of the ranges, whose bounds have the same number of digits. */
interface Brand {
  readonly name: string;
  readonly prefixes: readonly (readonly [from: string, to: string])[];
  /** In digits. */
  readonly lengths: readonly number[];
}

const upTo = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);
const only = (...prefixes: string[]) => prefixes.map((prefix) => [prefix, prefix] as const);

/**
 * From the ranges that the brands publish. Visa's numbers of 13 digits are left out: none have been issued for decades, and
 * German telephone numbers and EANs, which have 13 digits and begin with 4, would be taken for them.
 */
const BRANDS: readonly Brand[] = [
  { name: "Visa", prefixes: only("4"), lengths: [16, 18, 19] },
  {
    name: "Mastercard",
    prefixes: [
      ["51", "55"],
      ["2221", "2720"],
    ],
    lengths: [16],
  },
  { name: "American Express", prefixes: only("34", "37"), lengths: [15] },
  { name: "Discover", prefixes: [...only("6011", "65"), ["644", "649"]], lengths: upTo(16, 19) },
  { name: "Diners Club", prefixes: [...only("3095", "36"), ["300", "305"], ["38", "39"]], lengths: upTo(14, 19) },
  { name: "JCB", prefixes: [["3528", "3589"]], lengths: upTo(16, 19) },
  { name: "UnionPay", prefixes: only("62"), lengths: upTo(16, 19) },
  {
    name: "Maestro",
    prefixes: [...only("5018", "5020", "5038", "5893", "6304", "6759"), ["6761", "6763"]],
    lengths: upTo(12, 19),
  },
  { name: "Mir", prefixes: [["2200", "2204"]], lengths: upTo(16, 19) },
  {
    name: "RuPay",
    prefixes: [
      ["508500", "508999"],
      ["606985", "607984"],
      ["608001", "608500"],
      ["817200", "820199"],
    ],
    lengths: [16],
  },
];

const SHORTEST = Math.min(...BRANDS.flatMap(({ lengths }) => lengths));
const LONGEST = Math.max(...BRANDS.flatMap(({ lengths }) => lengths));

/**
 * Digits with at most three spaces and dashes, of whatever kind, between two of them. A word may stand directly before or
 * behind them (PAN4111…); where letters and digits mix, as in a hash, it is an identifier.
 */
const DIGITS = /(?<![\p{L}\p{Nd}])\p{L}*(\p{Nd}+(?:[\s\p{Pd}]{1,3}\p{Nd}+)*)\p{L}*(?![\p{L}\p{Nd}])/gu;
const SEPARATOR = /[\s\p{Pd}]+/u;
/**
 * Four groups of four digits and a rest, or those of American Express and Diners Club, with a dot, a slash or the like between. Such
 * marks also stand in amounts, addresses, dates and versions, so that other groups are none, nor is a part of a longer row of fours.
 */
const MARK = String.raw`\s?[._/\\·•]\s?`;
const PRINTED = new RegExp(
  String.raw`(?<!\d)(?<!(?<!\d)\d{4}${MARK})(?:(\d{4}(?:${MARK}\d{4}){3})(${MARK}\d{1,3})?|(\d{4}${MARK}\d{6}${MARK}\d{4,5}))(?!\d)(?!${MARK}\d{4}(?!\d))`,
  "g",
);
/** One in 3,000 would be taken for a card number, of what many shops call their orders by. */
const UUID = /\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi;

/** A digit of another script than Latin. */
const FOREIGN_DIGIT = /(?![0-9])\p{Nd}/gu;
const DIGIT = /^\p{Nd}$/u;

/** The value of a decimal digit of any script: they stand in Unicode ten by ten, from zero to nine. */
function digitValue(digit: string): string {
  const at = digit.codePointAt(0) ?? 0;
  let first = at;
  while (DIGIT.test(String.fromCodePoint(first - 1))) first--;
  return String((at - first) % 10);
}

/**
 * Whether a text holds a number that begins as an issuer's do, is as long as that brand's numbers are, and ends with the right
 * check digit. Spaces and dashes between its digits count for nothing, nor do dots, underscores and slashes between the groups that are
 * printed on cards; a part of a longer number without any is none.
 */
export function holdsCardNumber(text: string): boolean {
  if (text.length < SHORTEST) return false;
  // Also full-width digits, and those of other scripts, are read as digits by whoever copies them.
  const searched = text.normalize("NFKC").replace(FOREIGN_DIGIT, digitValue).replace(UUID, ";");
  for (const [, fours = "", rest = "", other = ""] of searched.matchAll(PRINTED)) {
    if ([fours, fours + rest, other].some((number) => isCardNumber(number.replace(/\D/g, "")))) return true;
  }
  for (const [, digits = ""] of searched.matchAll(DIGITS)) {
    if (digits.length >= SHORTEST && holdsIn(digits.split(SEPARATOR))) return true;
  }
  return false;
}

/** Whether groups of digits, some that follow each other, are a card number. */
function holdsIn(groups: readonly string[]): boolean {
  return groups.some((_, first) => {
    let number = "";
    for (const group of groups.slice(first, first + LONGEST)) {
      number += group;
      if (number.length > LONGEST) return false;
      if (isCardNumber(number)) return true;
    }
    return false;
  });
}

function isCardNumber(number: string): boolean {
  if (number.length < SHORTEST) return false;
  const isIssued = BRANDS.some(
    ({ prefixes, lengths }) =>
      lengths.includes(number.length) &&
      prefixes.some(([from, to]) => {
        const prefix = number.slice(0, from.length);
        return from <= prefix && prefix <= to;
      }),
  );
  return isIssued && hasCheckDigit(number);
}

/** Luhn's check, ISO/IEC 7812-1. */
function hasCheckDigit(number: string): boolean {
  let sum = 0;
  for (const [index, digit] of [...number].reverse().entries()) {
    const value = Number(digit) * (index % 2 === 1 ? 2 : 1);
    sum += value > 9 ? value - 9 : value;
  }
  return sum % 10 === 0;
}
