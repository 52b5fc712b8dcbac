// The part of ECharts that app/static/js/chart_drawing.js uses; scripts/vendor.py bundles it as app/static/vendor/echarts.js.
import { use } from 'echarts/core';
import { BarChart, LineChart, PieChart } from 'echarts/charts';
import { GridComponent, TooltipComponent } from 'echarts/components';
import { CanvasRenderer } from 'echarts/renderers';

use([BarChart, LineChart, PieChart, GridComponent, TooltipComponent, CanvasRenderer]);

export { init } from 'echarts/core';
