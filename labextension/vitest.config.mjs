// Unit tests: models and feeds, in a simulated page.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['tests/**/*.test.ts'], environment: 'jsdom', isolate: false, restoreMocks: true },
});
