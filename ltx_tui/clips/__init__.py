"""The clips as the workbench sees them: rows, filters, columns, findings, scores."""
