import { join } from 'node:path';
import { namesForCommandsOnly } from '../../codex/child-environment.js';
import { providerIn, renderConfig } from '../../codex/config-toml.js';
import { moveThreads } from '../../codex/rollouts.js';
import { keepSettings, restoredSettings } from '../../snapshots/keep-settings.js';
import { writeOwnFile } from '../../task-folder/own-file.js';
import { composeAgentsMd } from '../agent-channel/agents-md.js';
import { gitEnvironment } from '../agent-channel/git-author.js';
import { projectInstructions } from '../agent-channel/project-instructions.js';
import { protocolEnvironment } from '../agent-channel/protocol-folder.js';
import { sandboxHere } from '../agent-channel/sandbox-here.js';
import type { HostContext } from '../model/host-context.js';
import type { Filled, Preparation } from './fill-workdir.js';

/** Facts of the host in a task's configuration. */
export type ConfigPorts = Pick<HostContext, 'config' | 'env' | 'codex' | 'store'>;

/**
 * Writes config.toml and AGENTS.md into Codex's home, for this host and the task's permissions.
 * @throws TaskError `BadInput` for settings that Codex or we refuse; the disk's error
 */
export async function configureCodex(host: ConfigPorts, task: Preparation, filled: Filled): Promise<void> {
  const { spec, folder, warnings } = task;
  const { seed, isResumed, isRestored } = filled;
  const sandbox = sandboxHere(spec.sandbox, host.env);
  const env = { ...gitEnvironment(host.config), ...spec.env };
  const givers = { seed: seed?.configToml ?? null, codexConfig: spec.codexConfig };
  warnings.push(...namesForCommandsOnly(spec.env));
  const settings = isResumed ? await restoredSettings(folder, host.store.seedKeys, givers, warnings) : null;
  const config = renderConfig({
    dataDir: host.config.dataDir,
    workDir: folder.work,
    sandbox,
    codexConfig: spec.codexConfig,
    env: { ...protocolEnvironment(spec, folder.work, host.env), ...env },
    workerEnv: host.env,
    codex: host.codex.path,
    commandEnv: host.config.commandEnv,
    passEnv: spec.passEnv,
    ...baseConfig(settings ?? seed?.configToml),
    ...(spec.model !== null && { model: spec.model }),
    ...(spec.effort !== null && { effort: spec.effort }),
    approvals: { policy: spec.approvals.policy },
    apiKey: 'apiKeyEnv' in spec.credential,
    warnings,
  });
  await writeOwnFile(join(folder.codexHome, 'config.toml'), config);
  await keepSettings(folder, host.store.seedKeys);
  if (isResumed) await moveThreads(folder.codexHome, providerIn(config));
  // Codex reads its home's file only: in a trusted project `.codex` of the workdir could change the sandbox.
  const agentsMd = composeAgentsMd({ ...spec, sandbox, env }, folder.work, isResumed && !isRestored);
  const projects = await projectInstructions(folder.work, warnings);
  await writeOwnFile(join(folder.codexHome, 'AGENTS.md'), agentsMd + projects);
}

/** Takes only the user's settings from it: sandbox, environment and trust are rendered for this host. */
const baseConfig = (toml: string | null | undefined) => (toml ? { seedConfigToml: toml } : {});
