import { expect, test } from 'vitest';
import type { CodexTaskInput } from '../../src/contract/index.js';
import { assistantMessage, commandCall, outputsOfTurn } from '../../src/dev/model-server.js';
import { useRealStack } from './real-stack.js';
import { realTasks } from './real-tasks.js';

const stack = useRealStack();
const { start } = realTasks(() => stack);

const MADE = `set -e
git init -q . && echo one > tracked && git add tracked
git -c user.name=a -c user.email=a@b commit -qm first
echo two > tracked && git -c user.name=a -c user.email=a@b commit -qam second
echo three > tracked && git stash list
python3 -c "import sqlite3; d = sqlite3.connect('app.db'); d.execute('pragma journal_mode=wal'); d.execute('create table t (n)'); d.execute('insert into t values (42)'); d.commit()"
mkdir -p bin sub && echo 'echo ran' > bin/tool && chmod 751 bin/tool
ln bin/tool bin/same && ln -s "$PWD/bin/tool" absolute && ln -s ../bin/tool sub/relative && ln -s nowhere dangling
touch -d '2001-02-03T04:05:06.123456Z' old && touch -d '1965-01-01T00:00:00Z' older
python3 -m venv --without-pip venv
echo made`;

/** Says all that was made, but for where the workdir lies. */
const SHOWN = `git log --format=%s && git status --porcelain --untracked-files=no && git fsck --full
python3 -c "import sqlite3; print(sqlite3.connect('app.db').execute('select n from t').fetchall())"
./absolute; sh sub/relative; readlink sub/relative dangling; [ "$(readlink absolute)" = "$PWD/bin/tool" ] && echo leads here
stat -c '%a %h' bin/tool && [ bin/tool -ef bin/same ] && echo one file
TZ=UTC stat -c '%n %y' old older
venv/bin/python -c "import os, sys; print(os.path.relpath(sys.prefix), sys.prefix != sys.base_prefix)"`;

test('a resumed task has its repository, database, links, times and environment', async () => {
  const run = async (command: string, more: CodexTaskInput): Promise<{ said: string; taskId: string }> => {
    stack.play((request) => {
      const outputs = outputsOfTurn(request);
      if (outputs.length === 0) return [commandCall(command)];
      return [assistantMessage(outputs.join('').replace(/^.*?Output:\n/s, ''))];
    });
    const { task } = await start({
      prompt: 'go on',
      approvals: { policy: 'never' },
      sandbox: { git: 'writable' },
      ...more,
    });
    const { finalMessage, outcome } = await task.result();
    expect([outcome, (await task.status()).warnings]).toEqual(['completed', []]);
    return { said: finalMessage ?? '', taskId: task.taskId };
  };
  const first = await run(`${MADE}\n${SHOWN}`, {});
  const { said } = await run(SHOWN, { resume: { snapshotKey: first.taskId } });
  expect(first.said).toBe(`made\n${said}`);
  expect(said.trim().split('\n')).toEqual([
    'second',
    'first',
    ' M tracked',
    '[(42,)]',
    'ran',
    'ran',
    '../bin/tool',
    'nowhere',
    'leads here',
    '751 2',
    'one file',
    'old 2001-02-03 04:05:06.123456000 +0000',
    'older 1965-01-01 00:00:00.000000000 +0000',
    'venv True',
  ]);
});
