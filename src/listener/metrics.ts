import type { HostContext } from '../session/model/host-context.js';

/** What the listener counts. */
export interface Counts {
  subscribers: number;
  /** Answered requests by the class of their status: `2xx`, … */
  readonly requests: Map<string, number>;
}

/** Notes one answered request. */
export function countRequest({ requests }: Counts, status: number): void {
  const kind = `${Math.floor(status / 100)}xx`;
  requests.set(kind, (requests.get(kind) ?? 0) + 1);
}

/**
 * This host's figures in Prometheus' text format.
 * @param quarantined credentials in the database's quarantine; null leaves the figure out
 */
export function metricsPage(
  host: HostContext,
  { subscribers, requests }: Counts,
  quarantined: number | null,
): string {
  const tasks = host.tasks.all();
  const events = tasks.reduce(
    (sum, task) => sum + (task.kind === 'claimed' ? 0 : task.prepared.journal.lastId),
    0,
  );
  const byState = ['claimed', 'prepared', 'live', 'recovering', 'ending'].map(
    (is) => [`{state="${is}"}`, tasks.filter((task) => task.kind === is).length] as const,
  );
  const byStatus = [...requests].sort().map(([kind, count]) => [`{status="${kind}"}`, count] as const);
  return [
    metric('codex_task_sessions', 'gauge', 'Tasks on this host', byState),
    metric('codex_task_subscribers', 'gauge', 'Open event streams', [['', subscribers]]),
    metric('codex_task_events', 'gauge', 'Sum of the newest event ids of the tasks here', [['', events]]),
    metric('codex_task_credentials_saved_total', 'counter', 'Refreshed credentials saved to their seed', [
      ['', host.accounts.saved],
    ]),
    metric(
      'codex_task_credentials_quarantined_total',
      'counter',
      'Refreshed credentials that went to quarantine instead',
      [['', host.accounts.quarantined]],
    ),
    metric('codex_task_requests_total', 'counter', 'Requests answered by the listener', byStatus),
    ...(quarantined === null
      ? []
      : [
          metric('codex_task_quarantined_credentials', 'gauge', 'Credentials in quarantine in the database', [
            ['', quarantined],
          ]),
        ]),
  ].join('');
}

const metric = (name: string, type: string, help: string, values: (readonly [string, number])[]): string =>
  `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n` +
  values.map(([labels, value]) => `${name}${labels} ${value}\n`).join('');
