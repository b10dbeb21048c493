import type { TaskSpec } from '../task-input.js';
import { DEFAULT_EXCLUDES } from './snapshot-excludes.js';

/** The AGENTS.md that codex reads in its workdir: where it works, then the task's instructions verbatim. */
export function composeAgentsMd(spec: TaskSpec, workDir: string, resumed = false): string {
  const { mode, network, grants } = spec.sandbox;
  const lines = [
    '# Your workplace',
    '',
    `You work in \`${workDir}\`. ${SANDBOX[mode]} ${network ? 'Commands may use the network.' : 'Commands have no network.'}`,
    ...grants.map(
      ({ path, access }) => `You may also ${access === 'rw' ? 'read and write' : 'read'} \`${path}\`.`,
    ),
  ];
  if (resumed) lines.push('', ...resumeLines(spec));
  if (spec.instructions !== null) lines.push('', '# Instructions', '', spec.instructions);
  return `${lines.join('\n')}\n`;
}

function resumeLines({ snapshot }: TaskSpec): string[] {
  const left = (snapshot.exclude ?? DEFAULT_EXCLUDES).map((pattern) => `\`${pattern}\``).join(', ');
  return [
    '# You were resumed',
    '',
    'This folder was restored from a snapshot, and nothing outside it was. `resume.log` has one line for each',
    `time. ${left === '' ? 'Nothing was left out of it.' : `Not restored, so to be made again when needed: ${left}.`}`,
  ];
}

const SANDBOX = {
  'read-only': 'You may read files there, not change them.',
  'workspace-write': 'You may change files there and nowhere else.',
  'danger-full-access': 'Commands are not confined.',
} as const;
