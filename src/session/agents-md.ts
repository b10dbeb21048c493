import type { TaskSpec } from '../task-input.js';

/** The AGENTS.md that codex reads in its workdir: where it works, then the task's instructions verbatim. */
export function composeAgentsMd(spec: TaskSpec, workDir: string): string {
  const { mode, network, grants } = spec.sandbox;
  const lines = [
    '# Your workplace',
    '',
    `You work in \`${workDir}\`. ${SANDBOX[mode]} ${network ? 'Commands may use the network.' : 'Commands have no network.'}`,
    ...grants.map(
      ({ path, access }) => `You may also ${access === 'rw' ? 'read and write' : 'read'} \`${path}\`.`,
    ),
  ];
  if (spec.instructions !== null) lines.push('', '# Instructions', '', spec.instructions);
  return `${lines.join('\n')}\n`;
}

const SANDBOX = {
  'read-only': 'You may read files there, not change them.',
  'workspace-write': 'You may change files there and nowhere else.',
  'danger-full-access': 'Commands are not confined.',
} as const;
