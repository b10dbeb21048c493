import type { CodexTaskResult, TokenUsage } from '../contract/index.js';
import { printable, type Output, type Paint } from './output.js';

/** Prints how a task ended. */
export const printResult = (output: Output, result: CodexTaskResult): void =>
  output.result(result, resultText(result, output.paint));

/** A task's result for people. */
export function resultText(result: CodexTaskResult, paint: Paint): string {
  const facts = [
    ['turns', `${result.turns}, ${usageText(result.usage)}`],
    ['snapshot', result.snapshotId],
    ['captured seed', result.capturedSeedId],
    ['output', result.outputOmitted && 'larger than a result may have; the events have it'],
    ...result.deliverables.map(({ path, bytes }) => ['delivered', `${path} (${bytes} bytes)`]),
  ];
  const lines = facts.flatMap(([label = '', fact]) => (fact === undefined ? [] : [row(label, fact, paint)]));
  const { output, finalMessage } = result;
  const said = output === undefined ? finalMessage : JSON.stringify(output, null, 2);
  const message = said === null ? [] : ['', printable(said)];
  return [`${paint.green(result.outcome)} ${result.taskId}`, ...lines, ...message].join('\n');
}

export const row = (label: string, fact: string, paint: Paint): string =>
  `  ${paint.dim(label.padEnd(14))}${printable(fact)}`;

export function usageText({ totalTokens, inputTokens, cachedInputTokens, outputTokens }: TokenUsage): string {
  const n = (count: number) => count.toLocaleString('en-US');
  return `${n(totalTokens)} tokens (${n(inputTokens)} in, ${n(cachedInputTokens)} of them cached, ${n(outputTokens)} out)`;
}
