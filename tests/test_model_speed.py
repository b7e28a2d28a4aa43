"""The benchmark that trains: it measures what learns, and leaves nothing behind."""

from benchmarks.model_speed import fine_tune, train


def test_training_is_measured():
    need = train("face_small", "always", "cpu", features=4)
    assert need.millions > 1
    assert need.ms > 0
    assert need.gigabytes > 0.1
    assert "face_small, 128 px, mixed precision" in need.work


def test_fine_tuning_is_measured():
    whole, decoder = (
        fine_tune("dpt_tiny", learns, "cpu", batch_size=1, steps=2) for learns in ("all", "decoder")
    )
    assert whole.millions > decoder.millions > 0
    assert decoder.ms > 0
