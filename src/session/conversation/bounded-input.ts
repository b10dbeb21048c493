import { BUDGETS } from '../../budgets/budgets.js';
import { boundInput } from '../../budgets/bound-request.js';
import type { PermissionRequest } from '../../contract/index.js';

/**
 * The input within the limits of workflow state: whole, or with its longest texts cut. The event stream has it whole.
 */
export const boundedInput = (
  input: Record<string, unknown>,
): Pick<PermissionRequest, 'input' | 'truncated'> => boundInput(input, BUDGETS.requestInput);
