import type { PayloadCodec } from '@temporalio/common';

export const turningCodec: PayloadCodec;
