import { authorLine } from './git-author.js';
import { protocolDocs } from './protocol-docs.js';
import { DEFAULT_EXCLUDES } from '../../snapshots/snapshot-excludes.js';
import type { TaskSpec } from '../../contract/task-spec.js';

/**
 * Renders the AGENTS.md of Codex's home: where it works and what it may do, how it is talked to, what is kept of its
 * work, then the task's instructions verbatim. The AGENTS.md of the workdir belongs to user and agent.
 */
export function composeAgentsMd(spec: TaskSpec, workDir: string, resumed = false): string {
  const sections = [
    workplace(spec, workDir),
    [
      '# Messages of the host',
      '',
      'Messages that begin with `System: ` come from the host of this session, not from a person.',
    ],
    ...(spec.hostProtocol ? [protocolDocs(spec)] : []),
    ...(spec.ui?.['fileDownload'] === true ? [downloads(spec)] : []),
    ...(spec.snapshot.checkpoint === 'off' && !resumed ? [] : [keeping(spec, resumed)]),
    ...(spec.instructions === null ? [] : [['# Instructions', '', spec.instructions]]),
  ];
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

function workplace({ sandbox, env }: TaskSpec, workDir: string): string[] {
  const { mode, network, grants, git } = sandbox;
  const isOpen = mode === 'danger-full-access';
  return [
    '# Your workplace',
    '',
    'This is the AGENTS.md of your host: you have it whole here, it is no file of your folder.',
    `You work in \`${workDir}\`. ${SANDBOX[mode]}`,
    authorLine(env),
    'Folders in it may have an `AGENTS.md` of their own, also such as come later: read it before you work there.',
    ...(isOpen
      ? []
      : [
          network ? 'Commands may use the network.' : 'Commands have no network.',
          ...grantLines(grants),
          ...(mode === 'workspace-write' ? [...TEMPORARY, ...GIT[git]] : []),
          '`$HOME` cannot be written; caches of programs are kept outside this folder and are not saved.',
          'For one command that needs the network or another path, ask with `sandbox_permissions`',
          '`with_additional_permissions`: it then gets exactly that. `require_escalated` lets it write outside this folder, but',
          'gives it no network.',
        ]),
  ];
}

const grantLines = (grants: TaskSpec['sandbox']['grants']): string[] =>
  grants.map(
    ({ path, access }) => `You may also ${access === 'rw' ? 'read and write' : 'read'} \`${path}\`.`,
  );

function keeping({ snapshot }: TaskSpec, resumed: boolean): string[] {
  const left = (snapshot.exclude ?? DEFAULT_EXCLUDES).map((pattern) => `\`${pattern}\``).join(', ');
  const saved =
    left === '' ? 'Nothing in it is left out.' : `Left out, so to be made again when needed: ${left}.`;
  return resumed
    ? [
        '# You were resumed',
        '',
        'This folder was restored from a snapshot, and nothing outside it was. `resume.log` has one line for each',
        `time: read it before you answer a new message. ${saved}`,
      ]
    : [
        '# What is kept',
        '',
        'This folder and the conversation can be resumed later; nothing outside this folder is kept. `resume.log`',
        `has one line for each start: look there before you answer a new message, more lines than you saw before`,
        `mean that you were resumed. ${saved}`,
      ];
}

/** Readers have an interface that shows a link there. */
function downloads({ limits, hostProtocol }: TaskSpec): string[] {
  return [
    '# Files for the reader',
    '',
    'To offer a file of this folder for download, link it in your answer as `[NAME](optio-file:PATH)`, PATH relative',
    `to this folder, at most ${limits.downloadBytes} bytes.`,
    ...(hostProtocol
      ? [
          'That is for whoever reads along; `DELIVERABLE` is for whoever started the task. Do both when both need it.',
        ]
      : []),
  ];
}

const TEMPORARY = [
  '`$TMPDIR` is a folder of your own, which is gone when you end. Your commands find it at `/tmp` too; outside the sandbox',
  '`/tmp` is another one.',
];

const GIT = {
  'read-only': [
    '`.git`, `.agents` and `.codex` at the top of this folder are read-only: `git init`, `git clone URL .` and commits fail',
    'there. Make or clone a repository in a subfolder.',
  ],
  writable: [
    '`.git` at the top of this folder can be written, `.agents` and `.codex` there cannot. It is there already, so begin with',
    '`git init`; `git clone` needs a subfolder.',
  ],
} as const;

const SANDBOX = {
  'read-only': 'You may read files there, not change them.',
  'workspace-write': 'You may change files there and in `$TMPDIR`; elsewhere only what is named here.',
  'danger-full-access': 'Commands are not confined: they can read and change whatever this user can.',
} as const;
