/** Which part of a picture is seen, and how large: a scale and an offset, kept within reason. */

export interface Box {
  readonly width: number;
  readonly height: number;
}

const LARGEST = 2.5;

export class View {
  scale = 1;
  /** Where the picture's origin is, in pixels of the screen. */
  x = 0;
  y = 0;
  /** The whole picture is shown, and stays in sight when it changes. */
  fitted = true;
  private picture: Box = { width: 1, height: 1 };
  private screen: Box = { width: 1, height: 1 };

  /** The picture and the screen have these sizes now. */
  set(picture: Box, screen: Box): void {
    this.picture = picture;
    this.screen = screen;
    if (this.fitted) {
      this.fit();
    }
  }

  /** Show all of it, not larger than life. */
  fit(): void {
    this.fitted = true;
    this.scale = this.whole;
    this.x = (this.screen.width - this.picture.width * this.scale) / 2;
    this.y = (this.screen.height - this.picture.height * this.scale) / 2;
  }

  private get whole(): number {
    const edge = 16;
    const across = (this.screen.width - 2 * edge) / Math.max(1, this.picture.width);
    const down = (this.screen.height - 2 * edge) / Math.max(1, this.picture.height);
    return Math.max(0.02, Math.min(1.25, across, down));
  }

  /** Larger or smaller by a factor; the point of the screen stays over the same point of the picture. */
  zoom(factor: number, x: number, y: number): void {
    const scale = Math.min(LARGEST, Math.max(this.whole * 0.6, this.scale * factor));
    this.x = x - ((x - this.x) / this.scale) * scale;
    this.y = y - ((y - this.y) / this.scale) * scale;
    this.scale = scale;
    this.fitted = false;
  }

  pan(dx: number, dy: number): void {
    const keep = 60; // so much stays in sight
    this.x = Math.min(this.screen.width - keep, Math.max(keep - this.picture.width * this.scale, this.x + dx));
    this.y = Math.min(this.screen.height - keep, Math.max(keep - this.picture.height * this.scale, this.y + dy));
    this.fitted = false;
  }

  /** Bring a point of the picture into sight. */
  reveal(x: number, y: number): void {
    const edge = 70;
    const at = [x * this.scale + this.x, y * this.scale + this.y];
    const dx = at[0] < edge ? edge - at[0] : at[0] > this.screen.width - edge ? this.screen.width - edge - at[0] : 0;
    const dy = at[1] < edge ? edge - at[1] : at[1] > this.screen.height - edge ? this.screen.height - edge - at[1] : 0;
    if ((dx || dy) && !this.fitted) {
      this.pan(dx, dy);
    }
  }

  /** The point of the picture under a point of the screen. */
  at(x: number, y: number): [number, number] {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }
}
