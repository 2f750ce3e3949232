// The Swagger page shows this service's own document, with "Try it out" open from the start. What it does beside:
// it follows dark mode, keeps the API key for as long as its tab, and proposes idempotency keys.

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const followDarkMode = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followDarkMode);
followDarkMode();

const AUTHORIZED = "authorized";

/** The API key survives a reload, and ends with the tab. */
const KeepKeyInSession = {
  statePlugins: {
    auth: {
      wrapActions: {
        persistAuthorizationIfNeeded:
          (_, { authSelectors }) =>
          () => {
            sessionStorage.setItem(AUTHORIZED, JSON.stringify(authSelectors.authorized()));
          },
      },
    },
  },
};

function restoreKey() {
  const kept = sessionStorage.getItem(AUTHORIZED);
  if (kept !== null) ui.authActions.restoreAuthorization({ authorized: JSON.parse(kept) });
}

/** Not a UUID: browsers make those on pages of https and localhost only. */
function newIdempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Puts a new key into the form of an operation that takes one. */
function proposeKey({ specSelectors, specActions }, path, method) {
  const parameters = specSelectors.specJson().getIn(["paths", path, method, "parameters"]);
  const parameter = parameters?.find((candidate) => candidate.get("name") === "idempotency-key");
  if (parameter) specActions.changeParamByIdentity([path, method], parameter, newIdempotencyKey());
}

/** The operations of the document; none before it is there. */
function* operations({ specSelectors }) {
  for (const [path, methods] of specSelectors.specJson().get("paths")?.entries() ?? []) {
    for (const [method, operation] of methods.entries()) {
      yield { path, method, id: operation.get("operationId"), tag: operation.getIn(["tags", 0]) };
    }
  }
}

/** A link to an operation opens its form before the document is there. */
function proposeKeysInOpenForms(system) {
  for (const { path, method, id, tag } of operations(system)) {
    if (system.layoutSelectors.isShown(["operations", tag, id])) proposeKey(system, path, method);
  }
}

const ProposeIdempotencyKeys = {
  statePlugins: {
    layout: {
      wrapActions: {
        show:
          (show, system) =>
          (thing, isShown = true) => {
            for (const { path, method, id, tag } of operations(system)) {
              const isIt = thing[0] === "operations" && thing[1] === tag && thing[2] === id;
              if (isShown && isIt) proposeKey(system, path, method);
            }
            return show(thing, isShown);
          },
      },
    },
    spec: {
      wrapActions: {
        setResponse: (setResponse, system) => (path, method, response) => {
          const shown = setResponse(path, method, response);
          // An answer that was lost, or is no answer to the request, is asked for again with the same key.
          if (response.status > 0 && response.status < 500) proposeKey(system, path, method);
          return shown;
        },
      },
    },
  },
};

const ui = window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null,
  plugins: [KeepKeyInSession, ProposeIdempotencyKeys],
  onComplete: () => {
    restoreKey();
    proposeKeysInOpenForms(ui);
  },
});
