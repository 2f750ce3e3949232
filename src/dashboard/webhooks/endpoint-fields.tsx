/** The fields of an endpoint's forms: its URL, and what it receives. */
import { EVENT_TYPES } from "../../outbox/event-types";

/**
 * @param types the types that are chosen; null for all, also those that come later
 */
export function EndpointFields({ url, types }: { url: string; types: readonly string[] | null }) {
  const areAll = types === null || types.length === 0;
  return (
    <>
      <label>
        URL
        <input
          name="url"
          type="url"
          required
          value={url}
          placeholder="https://shop.example.com/webhooks"
          spellcheck={false}
        />
      </label>
      <fieldset>
        <legend>Events</legend>
        <p class="hint">Choose none to receive all types, also those that come later.</p>
        <details open={!areAll}>
          <summary>Receive some types only</summary>
          {Object.entries(EVENT_TYPES).map(([type, says]) => (
            <label class="choice">
              <input type="checkbox" name="types" value={type} checked={types?.includes(type) ?? false} />
              <span>
                <code>{type}</code> <span class="hint">{says}</span>
              </span>
            </label>
          ))}
        </details>
      </fieldset>
    </>
  );
}

/** What the fields say, as the API takes it. */
export function readFields(form: URLSearchParams): object {
  const types = form.getAll("types");
  return { url: form.get("url") ?? "", ...(types.length > 0 ? { types } : { all_types: true }) };
}
