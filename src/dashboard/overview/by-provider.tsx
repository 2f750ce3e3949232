/** The overview by provider: what each has come to, and the accounts that one does not take. */
import type { ProviderAccountResponse } from "../../provider/accounts/routes/schemas";
import type { CurrencyStatisticsResponse } from "../../statistics/response";
import { countText, Money, percentText, Time } from "../format";
import { ACCOUNTS_PATH, providerText } from "../providers/explain";
import type { Visit } from "../visit";

/** The figures of each provider, over the time and in the currency that are shown. */
export function ByProvider({ visit, shown }: { visit: Visit; shown: CurrencyStatisticsResponse }) {
  const { currency, providers } = shown;
  return (
    <section class="card" aria-label="By provider">
      <h2>By provider</h2>
      <section class="scroll" tabindex={0} aria-label="The figures of each provider">
        <table>
          <thead>
            <tr>
              <th scope="col">Provider</th>
              {["Created", "Confirmed", "Captured", "Refunded", "Success rate"].map((name) => (
                <th scope="col" class="number">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {providers.map(({ provider, figures: { created, confirmed, refunds, success_rate: rate } }) => (
              <tr>
                <th scope="row">{providerText(provider)}</th>
                <td class="number">{countText(visit, created.count)}</td>
                <td class="number">{countText(visit, confirmed.count)}</td>
                <td class="number">
                  <Money visit={visit} amount={confirmed.amount} currency={currency} />
                </td>
                <td class="number">
                  <Money visit={visit} amount={refunds.amount} currency={currency} />
                </td>
                <td class="number">{rate === null ? "–" : percentText(visit, rate)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </section>
  );
}

/** The accounts whose key their provider refuses, with where to mend it. Those that are disabled are known to be out. */
export function FailingAccounts({ visit, accounts }: { visit: Visit; accounts: readonly ProviderAccountResponse[] }) {
  const failing = accounts.flatMap(({ disabled_at, failing_since, ...account }) =>
    disabled_at === null && failing_since !== null ? [{ ...account, failing_since }] : [],
  );
  if (failing.length === 0) return null;
  return (
    <div class="refusal" role="alert">
      <strong>Payments cannot go through at {failing.length === 1 ? "an account" : "some accounts"}</strong>
      <ul>
        {failing.map(({ id, name, provider, mode, failing_since }) => (
          <li>
            {providerText(provider)} refuses the key of <a href={`${ACCOUNTS_PATH}/${id}`}>{name}</a> ({mode}) since{" "}
            <Time visit={visit} at={failing_since} />
          </li>
        ))}
      </ul>
    </div>
  );
}
