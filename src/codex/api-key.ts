import { TaskError } from '../errors.js';
import { isTable, mergeTables, type TomlTable } from './toml-values.js';

/** Codex's own provider, where a configuration names none. */
export const BUILT_IN_PROVIDER = 'openai';
/** Carries the API key from the worker to codex, whatever the worker's own variable is called. */
export const API_KEY_VARIABLE = 'CODEX_TASK_API_KEY';

/** Stands for OpenAI when nothing else is configured: codex's own entry cannot be changed, and takes no key. */
const OPENAI_WITH_KEY = 'openai-api-key';
const OPENAI_URL = 'https://api.openai.com/v1';

/**
 * Makes the configured model provider send `API_KEY_VARIABLE` as Bearer.
 * @throws TaskError `BadInput` when the provider is one of codex's own that takes no key
 */
export function withApiKey(config: TomlTable): TomlTable {
  const { model_provider: configured = BUILT_IN_PROVIDER, openai_base_url: baseUrl = OPENAI_URL } = config;
  const providers = isTable(config['model_providers']) ? config['model_providers'] : {};
  if (configured === BUILT_IN_PROVIDER)
    return mergeTables(config, {
      model_provider: OPENAI_WITH_KEY,
      model_providers: {
        // By this name codex knows what the server can do.
        [OPENAI_WITH_KEY]: {
          name: 'OpenAI',
          base_url: baseUrl,
          wire_api: 'responses',
          env_key: API_KEY_VARIABLE,
        },
      },
    });
  const provider = typeof configured === 'string' ? providers[configured] : undefined;
  if (typeof configured !== 'string' || !isTable(provider))
    throw new TaskError(
      'BadInput',
      `credential.apiKeyEnv: expected a table codexConfig.model_providers.${JSON.stringify(configured)} to take the key`,
    );
  // Other ways to authenticate do not go together with a key.
  const { auth: _auth, experimental_bearer_token: _token, ...rest } = provider;
  return {
    ...config,
    model_providers: { ...providers, [configured]: { ...rest, env_key: API_KEY_VARIABLE } },
  };
}

/** Undoes `withApiKey` in a config that was rendered for an earlier run, whose key this run may not have. */
export function withoutApiKey(config: TomlTable): TomlTable {
  const { model_provider: configured, model_providers: providers, ...rest } = config;
  const kept = Object.entries(isTable(providers) ? providers : {})
    .filter(([id]) => id !== OPENAI_WITH_KEY)
    .map(([id, provider]) => [id, isTable(provider) ? withoutKey(provider) : provider] as const);
  return {
    ...rest,
    ...(configured === undefined || configured === OPENAI_WITH_KEY ? {} : { model_provider: configured }),
    ...(kept.length === 0 ? {} : { model_providers: Object.fromEntries(kept) }),
  };
}

function withoutKey({ env_key: key, ...provider }: TomlTable): TomlTable {
  return key === undefined || key === API_KEY_VARIABLE ? provider : { ...provider, env_key: key };
}
