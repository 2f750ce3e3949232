/** What an account at a provider is called outside, also in the path of its notifications. */

/** `<provider>_<id>`, such as `stripe_3`. */
export const accountName = ({ provider, id }: { readonly provider: string; readonly id: number }): string =>
  `${provider}_${id}`;

/** What such names look like. */
export const ACCOUNT_NAME_PATTERN = /^([a-z]{1,20})_([1-9]\d{0,15})$/;

/** The provider and the row of an account's name; null where it is none. */
export function readAccountName(name: string): { readonly provider: string; readonly id: number } | null {
  const [, provider, digits] = ACCOUNT_NAME_PATTERN.exec(name) ?? [];
  const id = Number(digits);
  return provider !== undefined && Number.isSafeInteger(id) ? { provider, id } : null;
}
