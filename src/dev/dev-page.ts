import pc from 'picocolors';

/** The line that `dev --json` prints once all is ready. */
export interface DevLine {
  temporal: { address: string; namespace: string; uiUrl: string | null };
  mongodbUri: string;
  listenerUrl: string;
  listenerSecretFile: string;
  dataDir: string;
  devPid: number;
  workerPid: number | null;
  /** Environment for every other command against this stack; it holds no secret. */
  env: Record<string, string>;
}

/** The same for people. */
export function devPage(line: DevLine, colour: boolean): string {
  const { bold, dim, cyan, green } = pc.createColors(colour && pc.isColorSupported);
  const rows: [string, string][] = [
    ['Temporal', `${line.temporal.address}, namespace ${line.temporal.namespace}`],
    ['Temporal UI', line.temporal.uiUrl === null ? dim('none') : cyan(line.temporal.uiUrl)],
    ['MongoDB', line.mongodbUri],
    ['Listener', cyan(line.listenerUrl)],
    ['Secret', line.listenerSecretFile],
    ['Data', line.dataDir],
    [
      'Worker',
      line.workerPid === null ? 'none: start one with codex-task worker' : `process ${line.workerPid}`,
    ],
  ];
  const exports = Object.entries(line.env).map(([name, value]) => `  export ${name}=${quoted(value)}`);
  return [
    `${green('✔')} ${bold('Ready.')} Ctrl-C stops everything.`,
    '',
    ...rows.map(([name, value]) => `  ${bold(name.padEnd(12))} ${value}`),
    '',
    'In another terminal:',
    '',
    ...exports.map((text) => dim(text)),
    `  codex-task start --prompt ${quoted('Say hello')}`,
    '',
    '',
  ].join('\n');
}

const quoted = (value: string) =>
  /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
