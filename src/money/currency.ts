/**
 * The currencies payments are made in: ISO 4217 list one with amendments to 180 (published 2026-01-01),
 * by the number of decimal places of their minor unit. Left out on purpose: metals, funds, testing
 * codes, XXX, and units of account that nobody pays in (XDR, XSU, XUA, XAD, UYW).
 */
const CODES_BY_EXPONENT = {
  0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
  2:
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF " +
    "CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL " +
    "HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT " +
    "MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB " +
    "SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH " +
    "USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
  3: "BHD IQD JOD KWD LYD OMR TND",
} as const;

const EXPONENTS: ReadonlyMap<string, number> = new Map(
  Object.entries(CODES_BY_EXPONENT).flatMap(([exponent, codes]) =>
    codes.split(" ").map((code): [string, number] => [code, Number(exponent)]),
  ),
);

/** The ISO 4217 codes that a payment's currency may have. */
export const CURRENCIES: readonly string[] = [...EXPONENTS.keys()].sort();

/** Their texts in upper or lower case, as a pattern for documents. */
export const CURRENCY_PATTERN = `^(?:${CURRENCIES.map(inEitherCase).join("|")})$`;

function inEitherCase(code: string): string {
  return code.replace(/./g, (letter) => `[${letter}${letter.toLowerCase()}]`);
}

/** The currency of a payment that names none. */
export const DEFAULT_CURRENCY = "USD";

/** The most decimal places that any of the currencies has. */
export const MAX_EXPONENT = Math.max(...EXPONENTS.values());

/** The codes of the currencies with so many decimal places. */
export function currenciesWith(exponent: number): string[] {
  return CURRENCIES.filter((code) => EXPONENTS.get(code) === exponent);
}

/** How many decimal places the currency's minor unit has; undefined when payments are not made in it. */
export function currencyExponent(code: string): number | undefined {
  return EXPONENTS.get(code);
}
