import { expect, test } from 'vitest';
import { assistantMessage, functionCall } from '../../../src/dev/model-server.js';
import { until } from '../../support/until.js';
import { startRealSession, type RealSession } from '../real-session.js';
import { answers } from '../scripts.js';

const told = ({ signals }: RealSession) =>
  signals.flatMap(({ argument }) => {
    const { warning, warnings = [] } = argument as { warning?: string; warnings?: string[] };
    return warning === undefined ? warnings : [warning];
  });

test('an MCP server that fails to start is a warning that names it', async () => {
  const servers = { broken: { command: '/nonexistent/mcp' }, fine: { command: 'sleep', enabled: false } };
  const session = await startRealSession(() => [assistantMessage('x')], {}, { mcp_servers: servers });
  const named = /^MCP server broken has no tools here, as it did not start: .*No such file/;
  await until('its warning', () => session.session.warnings.some((each) => named.test(each)));
  expect(session.session.warnings).toHaveLength(1);
});

test('commands still running when a session ends are named before its last event', async () => {
  const command = 'sleep 30; echo built > artefact.txt';
  const call = functionCall('exec_command', { cmd: command, yield_time_ms: 250 });
  const session = await startRealSession(answers([call], [assistantMessage('done')]), { mode: 'task' });
  await session.thread.accept({ messageId: 'a', text: 'build it' });
  await session.turns(1);
  await session.session.stop();
  const warning = `Commands that still ran were ended with the session, and what they had not written is missing: "${command}"`;
  expect(session.session.warnings).toEqual([warning]);
  expect(told(session)).toEqual([warning]);
  const said = session.events.filter(({ type }) => type === 'x-optio-warning');
  expect(said).toMatchObject([{ message: warning }]);
});
